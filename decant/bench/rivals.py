"""Train and rank rivals of a segment's student; `decant bench …-groups` starts it.

In a workspace whose features, segments and teacher are made:
`python -m decant.bench.rivals NAME [--minutes N]`. A name is one of `GENERAL_KINDS`, which are for
everybody, or one of `GROUP_KINDS`, `@` and a segment; `knowledge` comes first of all, `general`
before the kinds that start from it.
"""

import argparse
import json
import shutil
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from decant.bench.results import write_json
from decant.bench.teach import NOT_DONE, Prepared, code, load, prepared, teacher_name
from decant.distillation.knowledge import extract, load_knowledge
from decant.distillation.prior import with_prior
from decant.distillation.student import Material, distill_general, distill_segment, lesson_for
from decant.evaluation.evaluate import WINDOWS
from decant.evaluation.measure import by_group
from decant.evaluation.scoring import rank
from decant.features.sequences import cases, training_counts
from decant.features.validation import of_users
from decant.models.build import architecture
from decant.models.checkpoint import parameter_count
from decant.models.recommender import Recommender
from decant.params import GENERAL, TEACHER, Distill
from decant.training.checkpoints import Checkpoints, TimeUp, digest
from decant.training.loop import seeded
from decant.training.validation import TorchScorer, validate

RIVALS = Path(".decant/rivals")
KNOWLEDGE = "knowledge"
ALL = "all"
UNDISTILLED, WORST, ATTRIBUTES = "undistilled", "worst", "attributes"
SEGMENT, ALONE, ADAPTERS, PRIOR = "segment", "alone", "adapters", "prior"
GENERAL_KINDS = {
    TEACHER: "the teacher itself",
    UNDISTILLED: "of a student's size and steps, without knowledge of the teacher",
    GENERAL: "the general student",
    WORST: "the general student, taught by the half of each batch that it knows worst",
    ATTRIBUTES: "the general student, which reads the user's attributes too",
}
GROUP_KINDS = {
    SEGMENT: "the general student, trained on for the segment",
    ADAPTERS: "the general student with low-rank adapters trained for the segment",
    PRIOR: "the general student with the segment's popularity in its item bias",
    ALONE: "trained from scratch on the segment's own events",
}
HALF, RANK = 0.5, 8
SHRINKAGES = (300.0, 3000.0, 30000.0)  # events
PRIOR_WEIGHTS = (0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Contest:
    """What every rival is trained on. `members`: users by segment; folded ones are left out."""

    data: Prepared
    members: dict[str, np.ndarray]
    seed: int

    @property
    def settings(self) -> Distill:
        return self.data.params.distill

    @property
    def folder(self) -> Path:
        return self.data.root / RIVALS

    @property
    def version(self) -> str:
        """Digest of all that a rival depends on."""
        params = self.data.params
        return digest([
            self.data.version, code(self.data.root, "distill"), params.distill.model_dump(),
            params.knowledge.model_dump(), self.seed, sorted(self.members),
            *(self.members[name] for name in sorted(self.members)),
        ])  # fmt: skip

    def material(self) -> Material:
        return replace(self.data.material, knowledge=load_knowledge(self.folder / KNOWLEDGE))

    def result(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def done(self, name: str) -> bool:
        """Are there figures of this version?"""
        path = self.result(name)
        return path.is_file() and json.loads(path.read_text("utf-8"))["version"] == self.version


def contest(root: Path) -> Contest:
    """Read what the stages up to `segments` have made."""
    data, folder = prepared(root), root / "data" / "segments"
    folded = json.loads((folder / "router.json").read_text("utf-8"))["folded"]
    members = {
        name: np.load(folder / f"{name}.npy", allow_pickle=False)
        for name in data.params.segments
        if name not in folded
    }
    return Contest(data, members, data.params.seed)


def names_of(segments: list[str]) -> tuple[list[str], list[str]]:
    """Every rival: those for everybody, and those of segments, which come after."""
    return list(GENERAL_KINDS), [f"{kind}@{name}" for kind in GROUP_KINDS for name in segments]


def write_knowledge(of: Contest) -> None:
    """Extract what the teacher knows."""
    teacher = load(of.data, teacher_name(of.seed))
    temporary = of.folder / f".{KNOWLEDGE}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    settings = of.data.params.knowledge
    summary = extract(
        [teacher], of.data.sequences, temporary, settings.top_k, states=settings.states,
        relations=settings.relations,
    )  # fmt: skip
    shutil.rmtree(of.folder / KNOWLEDGE, ignore_errors=True)
    temporary.rename(of.folder / KNOWLEDGE)
    write_json(of.result(KNOWLEDGE), {"version": of.version, **summary})


def train_rival(
    of: Contest, name: str, minutes: float | None
) -> tuple[Recommender, dict[str, Any]]:
    """One trained rival and what there is to say of its training.

    Raises:
        TimeUp: `minutes` have passed; what was learned is kept for the next call.
    """
    kind, _, segment = name.partition("@")
    if kind == TEACHER:
        return load(of.data, teacher_name(of.seed)), {}
    if kind == PRIOR:
        return best_prior(of, of.members[segment])
    settings, material, members = of.settings, of.material(), of.members.get(segment)
    log = partial(_say, name)
    saved = Checkpoints(of.folder / name, of.version, minutes)
    if kind in (SEGMENT, ADAPTERS):
        assert members is not None
        if kind == ADAPTERS:
            settings = settings.model_copy(update={"adapter_rank": RANK})
        start = general(of)
        model, report = distill_segment(start, members, material, settings, of.seed, log, saved)
    else:
        if kind == UNDISTILLED:
            material = replace(material, knowledge=None)
        if kind == WORST:
            settings = settings.model_copy(update={"worst": HALF})
        if kind == ATTRIBUTES:
            inputs = [*settings.inputs, *({ATTRIBUTES} - {*settings.inputs})]
            settings = settings.model_copy(update={"inputs": inputs})
        if kind == ALONE:
            settings = settings.model_copy(update={"others": 0.0, "anchor": 0.0})
        if kind in (UNDISTILLED, ALONE):  # they know no teacher
            settings = settings.model_copy(update={"start_layers": []})
        teacher = load(of.data, teacher_name(of.seed)) if settings.start_layers else None
        model, report = distill_general(material, settings, of.seed, log, saved, members, teacher)
    facts = {
        "epochs": len(report.ndcg),
        "best_epoch": report.best_epoch + 1,
        "picks_ndcg": report.ndcg,
        "seconds": round(report.seconds, 1),
        "predictions": report.events,
    }
    return model, facts


def general(of: Contest) -> Recommender:
    """The general student, as it was trained."""
    shape = architecture(of.settings, of.data.encoder, of.data.vectors)
    model = seeded(shape, of.data.vectors, of.seed)
    model.load_state_dict(load_file(of.folder / f"{GENERAL}.safetensors"))
    return model.eval()


def best_prior(of: Contest, members: np.ndarray) -> tuple[Recommender, dict[str, Any]]:
    """The prior whose shrinkage and weight are best on the picking half; general if none is."""
    lesson = lesson_for(of.material(), of.settings, members)
    best, chosen = general(of), (0.0, 0.0)
    reached = validate(best, of.data.sequences, lesson)
    for shrinkage in SHRINKAGES:
        for weight in PRIOR_WEIGHTS:
            tried = with_prior(general(of), of.data.sequences, members, shrinkage, weight)
            value = validate(tried, of.data.sequences, lesson)
            if value > reached:
                best, reached, chosen = tried, value, (shrinkage, weight)
    return best, {"shrinkage": chosen[0], "weight": chosen[1]}


def write_rival(of: Contest, name: str, minutes: float | None) -> None:
    """Train, keep the weights, rank; the JSON is written last: it says that all is there."""
    model, facts = train_rival(of, name, minutes)
    model.cpu().eval()
    weights = {n: t.contiguous() for n, t in model.state_dict().items()}
    save_file(weights, of.folder / f"{name}.safetensors")
    segment = name.partition("@")[2]
    write_json(
        of.result(name),
        {
            "version": of.version,
            "parameters": parameter_count(model),
            **facts,
            **ranked(of, model, segment),
        },
    )


def ranked(of: Contest, model: Recommender, segment: str) -> dict[str, Any]:
    """Ranks of all cases in both windows, or of a segment's, and figures by group."""
    data, k = of.data, of.data.params.evaluate.k
    counts = training_counts(data.sequences, len(data.encoder.items))
    found: dict[str, Any] = {}
    for window in WINDOWS:
        chosen = cases(data.sequences, window, data.params.split.cases_per_user)
        if segment:
            chosen = of_users(chosen, of.members[segment])
        ranking = rank(
            TorchScorer(model), data.sequences, chosen, len(data.encoder.items), k=k,
            exclude_seen=data.encoder.exclude_seen,
        )  # fmt: skip
        groups = {ALL: np.unique(chosen.user), **({} if segment else of.members)}
        found[window] = {
            "users": chosen.user.tolist(),
            "ranks": ranking.ranks.tolist(),
            "figures": by_group(chosen, ranking, groups, counts, k),
        }
    return found


def run(root: Path, name: str, minutes: float | None) -> None:
    """Do what is not done yet.

    Raises:
        TimeUp: `minutes` have passed. ValueError: there is no such rival.
    """
    of = contest(root)
    of.folder.mkdir(parents=True, exist_ok=True)
    everybody, segments = names_of(list(of.members))
    if name not in (KNOWLEDGE, *everybody, *segments):
        raise ValueError(f"no rival `{name}`; there are {', '.join((*everybody, *segments))}")
    if of.done(name):
        return
    if name == KNOWLEDGE:
        write_knowledge(of)
    else:
        write_rival(of, name, minutes)


def _say(name: str, line: str) -> None:
    tqdm.write(f"{name}: {line}", file=sys.stderr)


def main() -> int:
    """Be the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--minutes", type=float)
    arguments = parser.parse_args()
    try:
        run(Path(), arguments.name, arguments.minutes)
    except TimeUp as stopped:
        print(stopped, file=sys.stderr)
        return NOT_DONE
    return 0


if __name__ == "__main__":
    sys.exit(main())
