"""Comparison of two runs, as one JSON document."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from decant.diff.cache import default_remote
from decant.diff.changes import settings_that_differ, stages_that_ran
from decant.diff.costs import compare_costs, compare_gates
from decant.diff.quality import compare_quality
from decant.diff.sides import SHOWN, Side, SideError, find, read_side

FIGURES = ("evaluation", "features", "gate", "segments", "candidate")  # folders of data/
FETCH = f"dvc fetch -r {{}} --all-commits {' '.join(f'data/{name}' for name in FIGURES)}"


def compare(root: Path, names: tuple[str, str]) -> dict[str, Any]:
    """Compare two runs, given by name.

    Returns:
        a, b {name, kind, id, title, release}, notes [line], settings [{key, a, b}], stages
        [{stage, status, causes, after, same_output}], unchanged [stage], quality {k, paired, rows,
        notes}, costs [{model, measure: [a, b]}], gate {a, b, serving}.

    Raises:
        SideError: a name is unknown, or both refer to the same run.
        ContentError, RegistryError: a record of the runs is damaged.
    """
    places = [find(root, name) for name in names]
    if places[0].id == places[1].id:
        raise SideError(same(places[0].kind, places[0].id, names))
    a, b = (read_side(root, place) for place in places)
    changes, unchanged = stages_that_ran(a.record, b.record)
    quality = compare_quality(a, b)
    notes = [f"{letter}: {note}" for letter, side in (("A", a), ("B", b)) for note in side.notes]
    if quality.missing:
        notes += advice(root)
    return {
        "a": described(a),
        "b": described(b),
        "notes": notes,
        "settings": settings_that_differ(a.settings, b.settings),
        "stages": [asdict(change) for change in changes],
        "unchanged": unchanged,
        "quality": asdict(quality),
        "costs": compare_costs(a, b),
        "gate": compare_gates(a, b),
    }


def described(side: Side) -> dict[str, Any]:
    """Summary of one side."""
    return {**asdict(side.place), "release": side.release}


def same(kind: str, identity: str, names: tuple[str, str]) -> str:
    """The message for two names of the same run."""
    if kind == "workspace":
        return "the workspace is compared with itself: name a commit or a release"
    shown = identity[:SHOWN] if kind == "commit" else identity
    how = f"`{names[0]}` is" if names[0] == names[1] else f"`{names[0]}` and `{names[1]}` are both"
    return f"{how} {kind} {shown}: there is nothing to compare"


def advice(root: Path) -> list[str]:
    """A hint at the command that fetches missing outputs into DVC's cache."""
    remote = default_remote(root)
    if remote is None:
        return [
            "no DVC remote is set to fetch missing outputs from; rerun that commit to compare them"
        ]
    return [f"`{FETCH.format(remote)}` fetches missing outputs if that remote has them"]
