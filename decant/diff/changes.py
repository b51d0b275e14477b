"""Settings that differ between two runs, and the stages that ran, with their causes."""

import graphlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from decant.diff.record import Record, Settings, StageRecord, outputs_of

ABSENT = "not set"
FINGERPRINT, FINGERPRINTS = "fingerprint", "data/fingerprints/"
OUTSIDE = {"key": "pseudonym key", "bert": "BERT of `embed.bert`", "init": "`teacher.warm_start`"}


@dataclass(frozen=True)
class StageChange:
    """One stage that differs: `status` new, gone or ran; `causes`: its changed settings, code and
    inputs; `after`: upstream stages with changed outputs. `same_output`: its outputs are identical.
    """

    stage: str
    status: str
    causes: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    same_output: bool = False


def settings_that_differ(a: Settings, b: Settings) -> list[dict[str, Any]]:
    """Rows of key, value in A, value in B, in the order of the files, new keys last."""
    return [
        {"key": name, "a": a.get(name, ABSENT), "b": b.get(name, ABSENT)}
        for name in dict.fromkeys([*a, *b])
        if a.get(name, ABSENT) != b.get(name, ABSENT)
    ]


def stages_that_ran(a: Record, b: Record) -> tuple[list[StageChange], list[str]]:
    """Stages that differ, upstream first, and the names of the others."""
    made = changed_outputs(a, b)
    changes: list[StageChange] = []
    same: list[str] = []
    for name in in_order({**a, **b}):
        if name == FINGERPRINT:
            continue
        change = stage_change(name, a.get(name), b.get(name), made)
        if change is None:
            same.append(name)
        else:
            changes.append(change)
    return changes, same


def stage_change(
    name: str, a: StageRecord | None, b: StageRecord | None, made: Mapping[str, str]
) -> StageChange | None:
    """The difference of a stage, or None; `made`: changed outputs → their stages."""
    if a is None or b is None:
        return StageChange(name, "new" if a is None else "gone")
    causes = [row["key"] for row in settings_that_differ(a.settings, b.settings)]
    causes += ["command"] if a.command != b.command else []
    after: set[str] = set()
    for path in dict.fromkeys([*a.deps, *b.deps]):
        if a.deps.get(path) == b.deps.get(path):
            continue
        upstream = {stage for output, stage in made.items() if overlap(path, output)} - {name}
        after |= upstream
        if not upstream:
            causes.append(describe_input(path))
    same_output = a.outs == b.outs
    if not causes and not after and same_output:
        return None
    return StageChange(name, "ran", list(dict.fromkeys(causes)), sorted(after), same_output)


def describe_input(path: str) -> str:
    """Description of a changed input that is not an output of a stage."""
    if not path.startswith(FINGERPRINTS):
        return f"input {path}"
    return OUTSIDE.get(PurePosixPath(path).stem, "code")


def changed_outputs(a: Record, b: Record) -> dict[str, str]:
    """Changed outputs → their stage."""
    before, now = outputs_of(a), outputs_of(b)
    stage_of = {path: name for record in (a, b) for name, s in record.items() for path in s.outs}
    return {
        path: stage
        for path, stage in stage_of.items()
        if before.get(path) != now.get(path) and stage != FINGERPRINT
    }


def in_order(stages: Record) -> list[str]:
    """Names of stages in topological order."""
    above = {
        name: {
            other
            for other, made in stages.items()
            if other != name and any(overlap(dep, out) for dep in stage.deps for out in made.outs)
        }
        for name, stage in stages.items()
    }
    try:
        return list(graphlib.TopologicalSorter(above).static_order())
    except graphlib.CycleError:  # from two different pipelines
        return list(stages)


def overlap(one: str, other: str) -> bool:
    """Whether two paths are equal, or one is inside the other."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")
