"""Train and rank the teachers of a prepared data set; started by `decant bench`.

In a workspace with features:
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
ALONE = "alone"  # members of `teacher.ensemble`; also their mean
NOT_DONE = 3  # exit status: time is up, the same command resumes


@dataclass(frozen=True)
class Prepared:
    """A data set with features; `version` is a digest of the inputs of a teacher."""

    root: Path
    params: Params
    encoder: Encoder
    sequences: Sequences
    vectors: dict[str, np.ndarray]

    @property
    def version(self) -> str:
        arrays = [self.sequences.items, self.sequences.offsets, *self.vectors.values()]
        settings = self.params.teacher.model_dump(exclude={"threads"})  # depends on the machine
        return digest([code(self.root), settings, *map(np.asarray, arrays)])

    @property
    def material(self) -> Material:
        """The training data of a teacher."""
        per_user = self.params.split.cases_per_user
        return Material(self.encoder, self.sequences, self.vectors, None, per_user)

    def result(self, name: str) -> Path:
        """Path of a model's results."""
        return self.root / TEACHERS / f"{name}.json"

    def done(self, name: str) -> bool:
        """Whether a model has results of this version."""
        path = self.result(name)
        return path.is_file() and json.loads(path.read_text("utf-8"))["version"] == self.version


def prepared(root: Path) -> Prepared:
    """Read the outputs of the stages up to `embed`."""
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
    data: Prepared, name: str, seed: int, ensemble: list[Recommender], minutes: float | None
) -> None:
    """Train the teacher of params.yaml with a seed and rank every case with it.

    Args:
        ensemble: models from whose mean it is distilled, shared by the teachers of all seeds.

    Raises:
        TimeUpError: `minutes` have passed; the next call resumes from a checkpoint.
    """
    settings, folder = data.params.teacher, data.root / TEACHERS
    material = data.material
    device = device_of(settings)
    material = learn_from([m.to(device) for m in ensemble], material, folder / name)
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
    """An untrained teacher."""
    shape = architecture(data.params.teacher, data.encoder, data.vectors)
    return seeded(shape, data.vectors, seed)


def weights(data: Prepared, name: str) -> Path:
    """Path of a trained model's weights."""
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
    """Mean probability of each item, 0 for padding (index 0)."""

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
    """Rank every case of both windows; the JSON is written last, as it marks completion."""
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
    """Do one job unless it is done: one seed's teacher, or one member of the ensemble; without
    seeds the traditional models; with several seeds the mean of their teachers.

    Raises:
        TimeUpError: `minutes` have passed.
    """
    data = prepared(root)
    (root / TEACHERS).mkdir(parents=True, exist_ok=True)
    members = [member_name(n) for n in range(1, data.params.teacher.ensemble + 1)]
    if member is not None:
        name = member_name(member)
        if not data.done(name):
            teach(data, name, data.params.seed + APART * member, [], minutes)
    elif len(seeds) == 1:
        if not data.done(teacher_name(seeds[0])):
            ensemble = [load(data, name) for name in members]
            teach(data, teacher_name(seeds[0]), seeds[0], ensemble, minutes)
    elif not seeds:
        if not data.done(BASELINES):
            measure_baselines(data)
    else:
        rank_together(data, ENSEMBLE, [teacher_name(seed) for seed in seeds])
        if members:
            rank_together(data, ALONE, members)


def teacher_name(seed: int) -> str:
    """File name of a seed's teacher."""
    return f"seed-{seed}"


def member_name(number: int) -> str:
    """File name of a member of the ensemble."""
    return f"{ALONE}-{number}"


def main() -> int:
    """Command-line entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, nargs="*")
    parser.add_argument("--member", type=int, help="number of an ensemble member, from 1")
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
