"""A tiny demo shop, for whole runs in seconds, and helpers for its dvc.lock."""

import json
from pathlib import Path
from typing import Any

from benchmarks.harness.checkout import Clone, Ended
from decant.params.edit import replace, rewrite

TINY = {"dimension": 16, "layers": 1, "heads": 2, "epochs": 1, "threads": 1}
CHANGES: dict[str, dict[str, Any]] = {
    "raw": {"users": 150, "items": 48, "steps": 10},
    "teacher": TINY,
    "distill": {**TINY, "segment_epochs": 1, "min_users": 5},
    "compress": {"recover_epochs": 0, "max_loss": 1.0},
    "evaluate": {"latency_requests": 20, "resamples": 200},
    "gate": {
        "margin": 1.0,
        "min_deciding_users": 1,
        "min_retention": 0.0,
        "min_group_retention": 0.0,
        "min_lift": -1.0,
        "min_size_ratio": 0.0,
        "min_latency_ratio": 0.0,
        "max_production_drop": 1.0,
    },
}
MORE_USERS = {"raw": {"users": 1500}}  # for teachers that are worth measuring, in minutes
PROTOCOL = (
    "the demo shop with {users} users, {items} items and models of one epoch; the gate's "
    "thresholds are loosened so that every candidate passes"
)
Lock = dict[str, dict[str, Any]]  # stage -> its entry in dvc.lock


class ShopError(ValueError):
    """The starting point of a benchmark cannot be prepared."""


def describe() -> str:
    """Description of the shop in one line."""
    return PROTOCOL.format(**CHANGES["raw"])


def change_params(shop: Clone, settings: dict[str, Any]) -> None:
    """Change values in params.yaml, keeping its comments."""
    path = shop.root / "params.yaml"
    replace(path, rewrite(path.read_text(encoding="utf-8"), settings, path))


def change_text(path: Path, old: str, new: str) -> None:
    """Replace a text that must occur once in a file.

    Raises:
        ShopError: it does not.
    """
    text = path.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise ShopError(f"{path}: expected `{old}` once, found it {text.count(old)} times")
    path.write_text(text.replace(old, new), encoding="utf-8")


def release_of(ended: Ended, shop: Clone) -> str:
    """The id of the candidate of a run.

    Raises:
        ShopError: the run failed.
    """
    made = shop.candidate()
    if ended.status or made is None:
        raise ShopError(f"the undisturbed run failed: {ended.error}")
    return made


def lock_of(shop: Clone) -> Lock:
    """The stages in dvc.lock, except `fingerprint`."""
    if not (shop.root / "dvc.lock").is_file():
        return {}
    stages: Lock = shop.read("dvc.lock")["stages"]
    return {name: stage for name, stage in stages.items() if name != "fingerprint"}


def with_other_inputs(before: Lock, after: Lock) -> set[str]:
    """Stages whose command, settings or dependencies changed."""
    read = ("cmd", "params", "deps")
    return {
        name
        for name, stage in after.items()
        if [stage.get(key) for key in read] != [before.get(name, {}).get(key) for key in read]
    }


def downstream(lock: Lock, stage: str) -> set[str]:
    """Stages that depend on `stage`, transitively."""
    below = {stage}
    while True:
        made = [out["path"] for name in below for out in lock[name]["outs"]]
        readers = {n for n in lock if any(reads(lock[n], place) for place in made)} - below
        if not readers:
            return below - {stage}
        below |= readers


def reads(stage: dict[str, Any], place: str) -> bool:
    """Whether a stage depends on a path, a path in it or a folder above it."""
    deps = [dep["path"] for dep in stage.get("deps", [])]
    return any(within(dep, place) or within(place, dep) for dep in deps)


def within(place: str, folder: str) -> bool:
    """Whether a path is a folder itself, or inside it."""
    return f"{place}/".startswith(f"{folder}/")


def production(shop: Clone) -> str | None:
    """The release that production points at, None if there is none or `status` fails."""
    status = shop.decant("status", "--json")
    release = None if status.status else json.loads(status.output)["release"]
    return None if release is None else str(release)
