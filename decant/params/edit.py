"""Edit params.yaml: replace the text of values that differ, keep everything else.

ruamel.yaml's round-trip parser gives the position of each key and value. Its dump is not used: it
also rewrites unchanged lines, such as `log: True`, and moves blank lines.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node

from decant.params.load import parse_params, parse_yaml

Settings = dict[str, Any]  # block -> key -> value; `students` -> name -> student

ADVICE = "write each setting on its own line, without anchors"
_ALIAS = re.compile(r"[ \t]*\*[^\s,\]}]+")
_TAIL = re.compile(r"(?:\n[ \t]*(?:#[^\n]*)?)+\Z")  # blank lines and comments


class EditError(ValueError):
    """The settings cannot be written into the layout of params.yaml; the message says why."""


class Edit(NamedTuple):
    """Replacement text for the characters from `start` to `end`."""

    start: int
    end: int
    text: str


class Entry(NamedTuple):
    """`key: value` in block style: start, end of the colon, end of the value."""

    start: int
    colon: int
    end: int
    value: Node

    @property
    def mapping(self) -> MappingNode | None:
        """The value if it is a block-style mapping and not an alias."""
        value = self.value
        if not isinstance(value, MappingNode) or value.flow_style:
            return None
        return value if value.start_mark.index >= self.colon else None


def rewrite(text: str, settings: Settings, path: Path = Path("params.yaml")) -> str:
    r"""Write settings into a text with `\n` line ends; change only lines of values that differ.

    Settings missing from a block are appended to it. `students` replaces all students.

    Raises:
        EditError: the layout of the text cannot be edited.
        ParamsError: the new settings are inconsistent.
    """
    before = parse_yaml(text, path)
    if not isinstance(before, dict):
        raise EditError(f"{path}: expected a mapping of blocks, got {type(before).__name__}")
    wanted = {**before, **{name: _merged(before, name, value) for name, value in settings.items()}}
    parse_params(wanted, path)
    root = YAML().compose(text)
    if root.flow_style:
        raise EditError(f"{path}: cannot edit settings inside braces: write each on its own line")
    after = applied(text, _edits(text, root, before, wanted, has_blocks=True))
    _check(after, wanted, path)
    return after


def render(value: Any, key: str = "") -> str:
    """Format a value as YAML on one line; the rule of a student (`where`) is always quoted."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {render(v, name)}" for name, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(render, value)) + "]"
    if isinstance(value, float):
        digits = format(Decimal(float.__repr__(value)), "f")  # YAML 1.1 reads 1e-05 as a string
        return digits if "." in digits else f"{digits}.0"
    if isinstance(value, str) and key != "where" and _is_plain(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def replace(path: Path, text: str) -> None:
    """Replace the text of a file atomically; the file keeps its line ends and its mode."""
    line_end = "\r\n" if b"\r\n" in path.read_bytes() else "\n"
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8", newline=line_end)
    shutil.copymode(path, temporary)
    os.replace(temporary, path)


def _merged(before: Mapping[str, Any], name: str, value: Any) -> Any:
    block = before.get(name)
    if name != "students" and isinstance(value, Mapping) and isinstance(block, dict):
        return {**block, **value}
    return value


def _edits(
    text: str,
    node: MappingNode,
    before: Mapping[str, Any],
    wanted: Mapping[str, Any],
    *,
    has_blocks: bool,
) -> Iterator[Edit]:
    """Edits that turn a block-style mapping, the file or a block of it, into `wanted`."""
    entries = {key.value: _entry(text, key, value) for key, value in node.value}
    for name, entry in entries.items():
        if name not in wanted:
            if name != "<<":
                yield Edit(max(0, entry.start - 1), _line_end(text, entry.end), "")
        elif wanted[name] != before[name]:
            is_block = has_blocks and isinstance(wanted[name], Mapping)
            if is_block and entry.mapping:
                inside = before[name], wanted[name]
                yield from _edits(text, entry.mapping, *inside, has_blocks=False)
            else:
                yield _with_value(text, entry, _written(name, wanted[name], is_block))
    indent = " " * node.value[0][0].start_mark.column
    end = _line_end(text, max(entry.end for entry in entries.values()))
    for name, value in wanted.items():
        if name not in entries and (name not in before or before[name] != value):
            is_block = has_blocks and isinstance(value, Mapping)
            blank = "\n" if is_block else ""
            yield Edit(end, end, f"{blank}\n{indent}{name}:{_written(name, value, is_block)}")


def _entry(text: str, key: Node, value: Node) -> Entry:
    colon = text.index(":", key.end_mark.index) + 1
    if value.start_mark.index < colon:  # an alias, `*name`: the value is elsewhere
        alias = _ALIAS.match(text, colon)
        end = alias.end() if alias else colon
    else:
        end = colon + len(_TAIL.sub("", text[colon : value.end_mark.index]))
    return Entry(key.start_mark.index - key.start_mark.column, colon, end, value)


def _written(name: str, value: Any, is_block: bool) -> str:
    """Format the text after a key and its colon; a block has a line per key."""
    if not is_block:
        return f" {render(value, name)}"
    return "".join(f"\n  {key}: {render(v, key)}" for key, v in value.items())


def _with_value(text: str, entry: Entry, written: str) -> Edit:
    """Replace the value of a key; a comment on its line keeps its column if possible."""
    head = text[entry.colon : _line_end(text, entry.colon)]
    end = _line_end(text, entry.end)
    space = head[: len(head) - len(head.lstrip())]
    begins_below = head == space or head[len(space)] == "#"
    comment_at = entry.colon if begins_below else entry.end
    comment = text[comment_at : _line_end(text, comment_at)]
    first, *lines = written.split("\n")
    if first and space and not begins_below:
        first = space + first[1:]
    if comment.strip():
        column = comment_at + comment.index("#") - _line_start(text, comment_at)
        width = entry.colon - _line_start(text, entry.colon) + len(first)
        first += " " * max(1, column - width) + comment.strip()
    return Edit(entry.colon, end, "\n".join([first, *lines]))


def applied(text: str, edits: Iterator[Edit]) -> str:
    pieces, done = [], 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        pieces += [text[done : edit.start], edit.text]
        done = edit.end
    return "".join([*pieces, text[done:]])


def _check(after: str, wanted: Mapping[str, Any], path: Path) -> None:
    """Check that the new text parses to the wanted settings.

    Raises:
        EditError: another setting would change, or the text is no longer valid YAML.
    """
    try:
        written = yaml.safe_load(after)
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise EditError(f"{path}: cannot edit this layout ({problem}): {ADVICE}") from None
    for name, value in wanted.items():
        if written.get(name) != value:
            raise EditError(f"{path}: cannot edit this layout (`{name}` would change): {ADVICE}")


def _is_plain(value: str) -> bool:
    """Whether YAML reads a string without quotes as the same string, even in a list."""
    try:
        return bool(yaml.safe_load(f"[{value}]") == [value])
    except yaml.YAMLError:
        return False


def _line_start(text: str, position: int) -> int:
    return text.rfind("\n", 0, position) + 1


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end
