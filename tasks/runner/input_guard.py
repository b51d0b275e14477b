"""Detection of inputs that change while a step reads them."""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from decant.params.load import Params, load_params

Signature = dict[str, tuple[int, int]]  # path -> size, modification time (ns)


class InputChangedError(ValueError):
    """Inputs changed while a step read them; `names` lists them."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        super().__init__(f"{shown} changed while it was being read: run again")


def signature(path: Path) -> Signature:
    """Sizes and modification times of a file, or of all files in a folder."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    states = {}
    for file in files:
        with suppress(FileNotFoundError):  # gone meanwhile
            state = file.stat()
            name = file.relative_to(path).as_posix() if file != path else ""
            states[name] = (state.st_size, state.st_mtime_ns)
    return states


def settings_read(root: Path, program: str, student: str | None) -> list[str] | None:
    """Settings that dvc.yaml lists for a program, such as `teacher` or `distill.min_users`.

    Args:
        student: value of `${key}` in a stage per student.

    Returns:
        None without a dvc.yaml.
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
    """The settings of a program that changed since it started."""
    then = before.model_dump(by_alias=True)
    now = load_params(root / "params.yaml").model_dump(by_alias=True)
    names = settings_read(root, program, student)
    return [
        f"`{name}` in params.yaml"
        for name in (then if names is None else names)
        if setting(then, name) != setting(now, name)
    ]


def setting(params: Any, name: str) -> Any:
    """A setting by its dotted name; None if missing, e.g. of a removed student."""
    for part in name.split("."):
        params = params.get(part) if isinstance(params, Mapping) else None
    return params


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Keys whose values differ, or which only one mapping has."""
    return sorted(key for key in {*one, *other} if one.get(key) != other.get(key))
