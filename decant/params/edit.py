"""Edit params.yaml: other values, the same comments."""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from decant.params.load import Params, parse_params

Settings = dict[str, Any]  # block -> key -> value; `students` -> name -> student


class EditError(ValueError):
    """params.yaml cannot be edited line by line; the message says where."""


def rewrite(text: str, settings: Settings, path: Path = Path("params.yaml")) -> str:
    """`text` with other values and the same comments.

    Raises:
        EditError: it is laid out in a way that cannot be edited line by line.
        ParamsError: the new settings do not fit together.
    """
    lines = text.splitlines()
    for block, values in settings.items():
        if block == "students":
            lines = with_students(lines, values)
        elif isinstance(values, Mapping):
            for key, value in values.items():
                lines = with_value(lines, block, key, value)
        else:
            lines = with_value(lines, None, block, values)
    new = "\n".join(lines) + "\n"
    told = parse_params(yaml.safe_load(new), path)
    _must_say(told, settings)
    return new


def with_value(lines: list[str], block: str | None, key: str, value: Any) -> list[str]:
    """The lines with one value set; a comment behind it keeps its column if it can."""
    start, end = block_of(lines, block)
    indent = "" if block is None else "  "
    pattern = re.compile(rf"^{indent}{re.escape(key)}:(?P<value>{_VALUE})(?P<comment>\s+#.*)?$")
    for number in range(start, end):
        if found := pattern.match(lines[number]):
            line = f"{indent}{key}: {render(value)}"
            if found["comment"]:
                column = lines[number].index("#", found.end("value"))
                line = line.ljust(column - 1) + " " + found["comment"].lstrip()
            return [*lines[:number], line, *lines[number + 1 :]]
    line = f"{indent}{key}: {render(value)}"
    return [*lines[:end], line, *lines[end:]]


def with_students(lines: list[str], students: Mapping[str, Any]) -> list[str]:
    """The lines with other students, one on each line."""
    start, end = block_of(lines, "students")
    made = [f"  {name}: {render_student(student)}" for name, student in students.items()]
    return [*lines[:start], *made, *lines[end:]]


def block_of(lines: list[str], block: str | None) -> tuple[int, int]:
    """Line numbers of a block's content: first, and one past the last.

    Raises:
        EditError: there is no such block.
    """
    if block is None:
        return 0, len(lines)
    for number, line in enumerate(lines):
        if re.match(rf"^{re.escape(block)}:\s*(#.*)?$", line):
            inside = len(list(_indented(lines[number + 1 :])))
            return number + 1, number + 1 + inside
    raise EditError(f"params.yaml has no block `{block}:` with one setting on each line")


def render(value: Any) -> str:
    """A value in YAML, on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {render(v)}" for key, v in value.items()) + "}"
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
    return text.removesuffix("...").strip()


def render_student(student: Mapping[str, Any]) -> str:
    """A student in YAML, its rule in double quotes."""
    parts = [
        f"{key}: {json.dumps(value) if key == 'where' else render(value)}"
        for key, value in student.items()
    ]
    return "{" + ", ".join(parts) + "}"


def replace(path: Path, text: str) -> None:
    """Write a file at once."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    shutil.copymode(path, temporary)
    os.replace(temporary, path)


_VALUE = r"(?:\s*(?:\"[^\"]*\"|'[^']*'|\[[^\]]*\]|[^\s#\[\"'][^#]*?))?"


def _indented(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith(" "):
            return
        yield line


def _must_say(params: Params, settings: Settings) -> None:
    told = params.model_dump(mode="json", by_alias=True)
    for block, values in settings.items():
        if not isinstance(values, Mapping) or block == "students":
            continue
        for key, value in values.items():
            if told[block][key] != value:
                raise EditError(
                    f"params.yaml: cannot set {block}.{key}; write one setting on each line"
                )
