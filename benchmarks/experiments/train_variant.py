"""Train and rank rivals of a segment's student; `decant bench …-groups` starts it.

In a workspace whose features, segments and teacher are made:
`python -m benchmarks.experiments.train_variant NAME [--tries N] [--minutes N]`. A name is a
variant for everybody, or a variant for groups, `@` and a group, see
`benchmarks.experiments.variants`. `unaware` trains the teacher that does not know the attributes,
`knowledge` and `unaware-knowledge` write down what the teachers know; they come first of all, then
the variants for everybody, from which the others start.
"""

import argparse
import shutil
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file
from tqdm import tqdm

from benchmarks.experiments.comparison import (
    Contest,
    contest,
    knowledge_name,
    losses_of,
    names_of,
    trained,
)
from benchmarks.experiments.derived import best_prior, shortest
from benchmarks.experiments.teachers import NOT_DONE, load, member_name, teach, teacher_name
from benchmarks.experiments.variants import (
    EVERYTHING,
    KNOWLEDGE,
    PRIOR,
    TRIES,
    UNAWARE,
    Try,
    Way,
    way_of,
)
from decant.distillation.knowledge import extract
from decant.distillation.student import distill_general, distill_segment
from decant.evaluation.evaluate import WINDOWS
from decant.evaluation.measure import by_group
from decant.evaluation.scoring import rank
from decant.features.holdout import of_users
from decant.features.sequences import cases, training_counts
from decant.models.build import parameter_count
from decant.models.cost import multiply_adds
from decant.models.recommender import Recommender
from decant.params.types import TEACHER
from decant.report.results import write_json
from decant.training.checkpoint import Checkpoints, TimeUp
from decant.training.device import device_of
from decant.training.state import Report
from decant.training.validate import TorchScorer

ALL = "all"


def train_unaware(of: Contest, minutes: float | None) -> None:
    """Train the teacher that does not know the attributes, taught by the same ensemble."""
    name, data = of.teachers[UNAWARE]
    if not data.done(name):
        members = range(1, data.params.teacher.ensemble + 1)
        taught_by = [load(of.data, member_name(number)) for number in members]
        teach(data, name, of.seed, taught_by, minutes)


def write_knowledge(of: Contest, labels: str) -> None:
    """Extract what one of the teachers knows."""
    model, data = of.everything if labels == EVERYTHING else of.teachers[labels]
    name = knowledge_name(labels)
    temporary = of.folder / f".{name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    settings, began = data.params.knowledge, time.monotonic()
    teacher = load(data, model).to(device_of(data.params.teacher))
    summary = extract(
        [teacher], data.sequences, temporary, settings.top_k, states=settings.states,
        relations=settings.relations,
    )  # fmt: skip
    shutil.rmtree(of.folder / name, ignore_errors=True)
    temporary.rename(of.folder / name)
    seconds = round(time.monotonic() - began, 1)
    write_json(of.result(name), {"version": of.version_of(name), "seconds": seconds, **summary})


def train_rival(
    of: Contest, name: str, minutes: float | None
) -> tuple[Recommender, dict[str, Any]]:
    """One trained rival and what there is to say of its training.

    Raises:
        TimeUp: `minutes` have passed; what was learned is kept for the next call.
    """
    kind, members, way = name.partition("@")[0], of.members_of(name), way_of(name)
    if kind == TEACHER:
        return load(of.data, teacher_name(of.seed)), {}
    if way is None:
        assert members is not None
        return best_prior(of, members) if kind == PRIOR else shortest(of, members)
    began, found = time.monotonic(), list[tuple[Try, Recommender, Report]]()
    for tried in way.tried(of.tries):
        left = None if minutes is None else minutes - (time.monotonic() - began) / 60
        folder = of.folder / name / f"{tried.rate:g}-{tried.dropout:g}"
        saved = Checkpoints(folder, of.version_of(name), left)
        found.append((tried, *train_once(of, way, tried, members, saved, f"{name}, {tried}")))
    tried, model, report = max(found, key=lambda trial: trial[2].best)
    return model, {
        "rate": tried.rate,
        "dropout": way.settings(of.settings, tried).dropout,
        "epochs": len(report.ndcg),
        "best_epoch": report.best_epoch + 1,
        "picks_ndcg": report.ndcg,
        "seconds": round(sum(trial.seconds for _, _, trial in found), 1),
        "predictions": report.events,
    }


def train_once(
    of: Contest, way: Way, tried: Try, members: np.ndarray | None, saved: Checkpoints, name: str
) -> tuple[Recommender, Report]:
    """Train a rival with one of the settings to try; a finished one is read from its checkpoint."""
    settings, material = way.settings(of.settings, tried), of.material(way.labels)
    log = partial(say, name)
    if way.start is not None:
        users = np.arange(of.data.sequences.users) if members is None else members
        start = trained(of, way.start)
        return distill_segment(start, users, material, settings, of.seed, log, saved)
    teacher = load(of.data, teacher_name(of.seed)) if settings.needs_teacher else None
    return distill_general(material, settings, of.seed, log, saved, members, teacher)


def write_rival(of: Contest, name: str, minutes: float | None) -> None:
    """Train, keep the weights, rank; the JSON is written last: it says that all is there."""
    model, facts = train_rival(of, name, minutes)
    model.to(device_of(of.settings)).eval()
    weights = {n: t.contiguous() for n, t in model.state_dict().items()}
    save_file(weights, of.folder / f"{name}.safetensors")
    write_json(
        of.result(name),
        {
            "version": of.version_of(name),
            "parameters": parameter_count(model),
            "multiply_adds": multiply_adds(model.architecture),
            **facts,
            **ranked(of, model, name),
        },
    )


def ranked(of: Contest, model: Recommender, name: str) -> dict[str, Any]:
    """Ranks of all cases in both windows, or of a group's, and figures by segment."""
    data, k = of.data, of.data.params.evaluate.k
    members = of.members_of(name)
    counts = training_counts(data.sequences, len(data.encoder.items))
    found: dict[str, Any] = {}
    for window in WINDOWS:
        chosen = cases(data.sequences, window, data.params.split.cases_per_user)
        if members is not None:
            chosen = of_users(chosen, members)
        ranking = rank(
            TorchScorer(model), data.sequences, chosen, len(data.encoder.items), k=k,
            exclude_seen=data.encoder.exclude_seen,
        )  # fmt: skip
        groups = {ALL: np.unique(chosen.user), **(of.members if members is None else {})}
        found[window] = {
            "users": chosen.user.tolist(),
            "ranks": ranking.ranks.tolist(),
            "figures": by_group(chosen, ranking, groups, counts, k),
        }
    return found


def run(of: Contest, name: str, minutes: float | None) -> None:
    """Do what is not done yet.

    Raises:
        TimeUp: `minutes` have passed. ValueError: there is no such rival.
    """
    of.folder.mkdir(parents=True, exist_ok=True)
    known = [name for together in (*names_of(of), *losses_of()) for name in together]
    if name not in known:
        raise ValueError(f"no rival `{name}`; there are {', '.join(known)}")
    if name == UNAWARE:
        train_unaware(of, minutes)
    elif of.done(name):
        return
    elif name.endswith(KNOWLEDGE):
        write_knowledge(of, name.removesuffix(f"-{KNOWLEDGE}"))
    else:
        write_rival(of, name, minutes)


def say(name: str, line: str) -> None:
    tqdm.write(f"{name}: {line}", file=sys.stderr)


def main() -> int:
    """Be the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--tries", type=int, default=len(TRIES))
    parser.add_argument("--minutes", type=float)
    arguments = parser.parse_args()
    try:
        of = replace(contest(Path()), tries=arguments.tries)
        run(of, arguments.name, arguments.minutes)
    except TimeUp as stopped:
        print(stopped, file=sys.stderr)
        return NOT_DONE
    return 0


if __name__ == "__main__":
    sys.exit(main())
