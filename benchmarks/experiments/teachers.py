"""Train and rank the teachers of a prepared data set; `decant bench` of a data set starts it.

In a workspace whose features are made:
`python -m benchmarks.experiments.teachers [SEED... | --member N] [--minutes N]`.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from decant.distillation.teacher import APART, learn_from, train_alone
from decant.evaluation.evaluate import WINDOWS, evaluate
from decant.evaluation.scoring import Scorer, rank
from decant.features.encode import Encoder
from decant.features.sequences import Cases, Sequences, cases
from decant.models.build import architecture, parameter_count
from decant.models.recommender import Recommender
from decant.params.load import Params, load_params
from decant.params.types import TEACHER
from decant.report.results import write_json
from decant.training.checkpoint import Checkpoints, TimeUpError, digest
from decant.training.device import device_of
from decant.training.loop import seeded
from decant.training.supervision import Material
from decant.training.validate import TorchScorer

TEACHERS = Path(".decant/teachers")
BASELINES = "baselines"
ENSEMBLE = "ensemble"  # the teachers of all seeds together
ALONE = "alone"  # the models that teach the teachers, with `teacher.ensemble`; also together
NOT_DONE = 3  # exit status: time is up, the same command goes on


@dataclass(frozen=True)
class Prepared:
    """A data set whose features are made; `version` is a digest of what a teacher depends on."""

    root: Path
    params: Params
    encoder: Encoder
    sequences: Sequences
    vectors: dict[str, np.ndarray]

    @property
    def version(self) -> str:
        arrays = [self.sequences.items, self.sequences.offsets, *self.vectors.values()]
        settings = self.params.teacher.model_dump(exclude={"threads"})  # as many as are free
        return digest([code(self.root), settings, *map(np.asarray, arrays)])

    @property
    def material(self) -> Material:
        """What a teacher learns from."""
        per_user = self.params.split.cases_per_user
        return Material(self.encoder, self.sequences, self.vectors, None, per_user)

    def result(self, name: str) -> Path:
        """Where the figures of one of the models lie."""
        return self.root / TEACHERS / f"{name}.json"

    def done(self, name: str) -> bool:
        """Are there figures of this version?"""
        path = self.result(name)
        return path.is_file() and json.loads(path.read_text("utf-8"))["version"] == self.version


def prepared(root: Path) -> Prepared:
    """Read what the stages up to `embed` have made."""
    features = root / "data" / "features"
    files = sorted((root / "data" / "vectors").glob("*.npy"))
    vectors = {path.stem: np.load(path, allow_pickle=False) for path in files}
    return Prepared(
        root,
        load_params(root / "params.yaml"),
        Encoder.load(features / "encoder.json"),
        Sequences.load(features / "sequences"),
        vectors,
    )


def code(root: Path, stage: str = TEACHER) -> str:
    """Digest of the code of a stage."""
    return (root / "data" / "fingerprints" / f"{stage}.txt").read_text("utf-8").strip()


def teach(
    data: Prepared, name: str, seed: int, taught_by: list[Recommender], minutes: float | None
) -> None:
    """Train the teacher of params.yaml with this seed and rank every case with it.

    Args:
        taught_by: models whose mean it learns from; they are shared by the teachers of all seeds.

    Raises:
        TimeUpError: `minutes` have passed; what was learned is kept for the next call.
    """
    settings, folder = data.params.teacher, data.root / TEACHERS
    material = data.material
    device = device_of(settings)
    material = learn_from([m.to(device) for m in taught_by], material, folder / name)
    model, report = train_alone(
        material,
        settings,
        seed,
        new_model(data, seed),
        Checkpoints(folder / name, data.version, minutes),
        lambda line: tqdm.write(f"{name}: {line}", file=sys.stderr),
    )
    save_file({n: t.contiguous() for n, t in model.state_dict().items()}, weights(data, name))
    cuda = torch.cuda.is_available() and settings.device != "cpu"
    facts = {
        "parameters": parameter_count(model),
        "epochs": len(report.losses),
        "best_epoch": report.best_epoch + 1,
        "picks_ndcg": report.ndcg,
        "losses": report.losses,
        "events": report.events,
        "seconds": round(report.seconds, 1),
        "device": torch.cuda.get_device_name() if cuda else f"CPU, {settings.threads} threads",
    }
    write_result(data, name, TorchScorer(model), facts)


def new_model(data: Prepared, seed: int) -> Recommender:
    """The teacher before its training."""
    shape = architecture(data.params.teacher, data.encoder, data.vectors)
    return seeded(shape, data.vectors, seed)


def weights(data: Prepared, name: str) -> Path:
    """Where a trained model's weights lie."""
    return data.root / TEACHERS / f"{name}.safetensors"


def load(data: Prepared, name: str) -> Recommender:
    """A trained model."""
    model = new_model(data, data.params.seed)
    model.load_state_dict(load_file(weights(data, name)))
    return model.eval()


def rank_together(data: Prepared, name: str, members: list[str]) -> None:
    """Rank every case by the mean probability of several models."""
    device = device_of(data.params.teacher)
    scorers = [TorchScorer(load(data, member).to(device)) for member in members]
    write_result(data, name, mean_of(scorers), {"members": members})


def mean_of(members: list[TorchScorer]) -> Scorer:
    """Mean probability of each item; no item (index 0) has none."""

    def score(sequences: Sequences, chosen: Cases) -> np.ndarray:
        total = np.zeros(0)
        for member in members:
            scores = torch.from_numpy(member(sequences, chosen))
            scores[:, 0] = -torch.inf
            share = torch.softmax(scores.double(), dim=1).numpy() / len(members)
            total = share if not total.size else total + share
        return total

    return score


def write_result(data: Prepared, name: str, scorer: Scorer, facts: dict[str, Any]) -> None:
    """Rank every case of both windows; the JSON is written last: it says that all is there."""
    windows: dict[str, Any] = {}
    for window in WINDOWS:
        chosen = cases(data.sequences, window, data.params.split.cases_per_user)
        ranking = rank(
            scorer, data.sequences, chosen, len(data.encoder.items), k=data.params.evaluate.k,
            exclude_seen=data.encoder.exclude_seen,
        )  # fmt: skip
        windows[window] = {"users": chosen.user.tolist(), "ranks": ranking.ranks.tolist()}
    write_json(data.result(name), {"version": data.version, **facts, **windows})


def measure_baselines(data: Prepared) -> None:
    """Rank every case with every traditional model."""
    done = evaluate(
        data.sequences, data.encoder, {}, {}, None,
        k=data.params.evaluate.k, cases_per_user=data.params.split.cases_per_user,
        latency_requests=data.params.evaluate.latency_requests, seed=data.params.seed,
        vectors=data.vectors.get("text"),
        progress=lambda line: print(line, file=sys.stderr),
    )  # fmt: skip
    cases_of = {
        name: {
            window: {"users": of_window["user"].tolist(), "ranks": of_window["rank"].tolist()}
            for window, of_window in of_model.groupby("window", sort=False)
        }
        for name, of_model in done.cases.groupby("model", sort=False)
    }
    result = {"version": data.version, "metrics": done.metrics, "models": cases_of}
    write_json(data.result(BASELINES), result)


def run(root: Path, seeds: list[int], member: int | None, minutes: float | None) -> None:
    """Do what is not done yet: one seed's teacher, or one member of the ensemble that teaches it;
    without seeds the traditional models; with several what all of them rank together.

    Raises:
        TimeUpError: `minutes` have passed.
    """
    data = prepared(root)
    (root / TEACHERS).mkdir(parents=True, exist_ok=True)
    alone = [member_name(n) for n in range(1, data.params.teacher.ensemble + 1)]
    if member is not None:
        name = member_name(member)
        if not data.done(name):
            teach(data, name, data.params.seed + APART * member, [], minutes)
    elif len(seeds) == 1:
        if not data.done(teacher_name(seeds[0])):
            taught_by = [load(data, name) for name in alone]
            teach(data, teacher_name(seeds[0]), seeds[0], taught_by, minutes)
    elif not seeds:
        if not data.done(BASELINES):
            measure_baselines(data)
    else:
        rank_together(data, ENSEMBLE, [teacher_name(seed) for seed in seeds])
        if alone:
            rank_together(data, ALONE, alone)


def teacher_name(seed: int) -> str:
    """What the files of a seed's teacher are called."""
    return f"seed-{seed}"


def member_name(number: int) -> str:
    """What the files of a model are called that teaches the teachers."""
    return f"{ALONE}-{number}"


def main() -> int:
    """Be the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, nargs="*")
    parser.add_argument("--member", type=int, help="of the ensemble that teaches, from 1")
    parser.add_argument("--minutes", type=float)
    arguments = parser.parse_args()
    try:
        run(Path(), arguments.seeds, arguments.member, arguments.minutes)
    except TimeUpError as stopped:
        print(stopped, file=sys.stderr)
        return NOT_DONE
    return 0


if __name__ == "__main__":
    sys.exit(main())
