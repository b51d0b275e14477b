"""Which losses make the better general student? Each alone and together, on validation."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.experiments.analysis import by_user, relative_gain
from benchmarks.experiments.comparison import Contest, contest, knowledge_name, losses_of
from benchmarks.experiments.data_sets import Say, prepare, read, run, train_teachers, with_interval
from benchmarks.experiments.groups import PROGRAM, SHOWN, STAGES
from benchmarks.experiments.groups_page import shown
from benchmarks.experiments.variants import EVERYTHING, LOSS_WAYS
from benchmarks.harness.checkout import Clone
from benchmarks.harness.demo_workspace import change_params
from decant.features.sequences import VALIDATION
from decant.params.types import TEACHER
from decant.report.results import Figure, Outcome

HARD = "hard"


def bench(
    project: Clone, say: Say, *, source: str, given: Path | None, profile: str,
    minutes: float | None,
) -> Outcome:  # fmt: skip
    """Prepare the data, train the teacher, then a general student with each choice of losses.

    Raises:
        NotDone: `minutes` have passed (what was learned is kept), or a step failed.
    """
    prepare(project, say, source, given, profile, STAGES)
    seed = project.read("params.yaml")["seed"]
    limit = [] if minutes is None else [f"--minutes={minutes:g}"]
    change_params(project, {"distill": {"threads": 1}})
    train_teachers(project, say, [seed], minutes)
    with ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool:
        for names in losses_of():
            say(f"{', '.join(names)}: {os.cpu_count()} at a time")
            list(pool.map(lambda name: run(project, name, *limit, program=PROGRAM), names))
    return outcome_of(contest(project.root), source, profile)


def outcome_of(of: Contest, source: str, profile: str) -> Outcome:
    """Figures of what the program has written: all of validation, none of test."""
    k = of.data.params.evaluate.k
    results = {name: read(of.result(name)) for name in (TEACHER, *LOSS_WAYS)}
    users = {name: by_user(result[VALIDATION], k) for name, result in results.items()}
    outcome = Outcome(protocol(of, results, source, profile), [of.seed])
    for name, found in users.items():
        values = np.array([value[0] for value in found.values()])
        outcome.figures[f"{name}.validation.ndcg@{k}"] = with_interval([values])
        if name != TEACHER:
            outcome.figures[f"{name}.gain"] = relative_gain(found, users[HARD], set(users[HARD]))
            outcome.measured(f"{name}.seconds", results[name]["seconds"])
            outcome.measured(f"{name}.best_epoch", results[name]["best_epoch"])
    outcome.shown = table(outcome.figures, k)
    return outcome


def protocol(of: Contest, results: Mapping[str, Any], source: str, profile: str) -> dict[str, str]:
    """How it was measured, for people."""
    known = read(of.result(knowledge_name(EVERYTHING)))
    sizes = ", ".join(f"{name} {size:,}" for name, size in known["bytes"].items())
    return {
        "data": f"{source}, {len(of.data.encoder.items):,} items, profile {profile}",
        "ranked": "the whole catalogue, ties against the model; mean over the users of validation, "
        "half of whom choose each model's epoch; nothing of test is looked at",
        "student": ", ".join(f"{name} {getattr(of.settings, name)}" for name in SHOWN)
        + f"; {results[HARD]['parameters']:,} parameters; all have the same steps",
        "knowledge": f"{known['positions']:,} positions, {known['seconds']:.0f} s; bytes: {sizes}",
        TEACHER: f"{results[TEACHER]['parameters']:,} parameters",
        **{name: way.text for name, way in LOSS_WAYS.items()},
        "gain": "over hard labels alone, relative, paired by user",
    }


def table(figures: Mapping[str, Figure], k: int) -> str:
    """All losses, best first."""
    of = {name: figures[f"{name}.validation.ndcg@{k}"]["value"] for name in (TEACHER, *LOSS_WAYS)}
    width = max(map(len, of))
    lines = [f"{'validation'.ljust(width)}  NDCG@{k}  gain over hard labels"]
    for name in sorted(of, key=lambda name: -of[name]):
        gain = figures.get(f"{name}.gain")
        lines.append(
            f"{name.ljust(width)}  {of[name]:7.4f}  {shown(gain) if gain else ''}".rstrip()
        )
    return "\n".join(lines)
