"""Whether what a step has read is still what it was when the step began."""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from decant.params.load import Params, load_params

Signature = dict[str, tuple[int, int]]  # of a tree: path -> size, time of the last change (ns)


class InputChangedError(ValueError):
    """Something was changed while a step read it; `names` says what."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        super().__init__(f"{shown} changed while it was being read: run again")


def signature(path: Path) -> Signature:
    """What tells whether a file, or any file of a folder, was changed; without reading it."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    states = {}
    for file in files:
        with suppress(FileNotFoundError):  # gone meanwhile
            state = file.stat()
            name = file.relative_to(path).as_posix() if file != path else ""
            states[name] = (state.st_size, state.st_mtime_ns)
    return states


def settings_read(root: Path, program: str, student: str | None) -> list[str] | None:
    """The settings that dvc.yaml names for a program, such as `teacher` or `distill.min_users`.

    Args:
        student: the key of a stage for each student, as in `students.${key}`.

    Returns:
        None where there is no dvc.yaml.
    """
    try:
        stages = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    except FileNotFoundError:
        return None
    plain = [stage.get("do", stage) for stage in stages.values()]
    return [
        name.replace("${key}", student or "")
        for stage in plain
        if re.search(rf"\btasks\.{re.escape(program)}\b", stage["cmd"])
        for name in stage.get("params", [])
    ]


def changed_settings(
    root: Path, program: str, before: Params, student: str | None = None
) -> list[str]:
    """Those settings of a program that are not what they were when it started."""
    then = before.model_dump(by_alias=True)
    now = load_params(root / "params.yaml").model_dump(by_alias=True)
    names = settings_read(root, program, student)
    return [
        f"`{name}` in params.yaml"
        for name in (then if names is None else names)
        if setting(then, name) != setting(now, name)
    ]


def setting(params: Any, name: str) -> Any:
    """One setting by its dotted name; None if it is not there, as of a student that was removed."""
    for part in name.split("."):
        params = params.get(part) if isinstance(params, Mapping) else None
    return params


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Keys whose values are not the same in both."""
    return sorted(key for key in {*one, *other} if one.get(key) != other.get(key))
