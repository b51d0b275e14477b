"""File names allowed in a release: `NAME`, or `students/STUDENT/NAME`."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

STUDENTS = "students"
MANIFEST = "manifest.json"
ASIDE = re.compile(r"\.[0-9a-f]{16}")  # suffix of a second version of a file
SHA256 = re.compile(r"[0-9a-f]{64}")
FORBIDDEN = set('\\:*?"<>|')  # special on some file systems
LONGEST = 255  # bytes of one part of a name
SHOWN = 80


def file_problems(files: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Problems of a manifest's files, `{path: {sha256, bytes, stored}}`."""
    return [*name_problems(files), *_entry_problems(files)]


def name_problems(paths: Iterable[str]) -> list[str]:
    """Problems of paths: outside the release, hidden, or equal on some file systems."""
    problems: list[str] = []
    seen: dict[str, str] = {}
    for path in paths:
        if not is_plain(path):
            problems.append(f"{path[:SHOWN]!a} is not an allowed file name")
            continue
        key = unicodedata.normalize("NFKC", path).casefold()
        if key in seen:
            problems.append(f"`{seen[key]}` and `{path}` differ only in case")
        seen[key] = path
    return problems


def is_plain(path: str) -> bool:
    """Whether a path is `NAME` or `students/STUDENT/NAME` of visible, portable parts."""
    parts = path.split("/")
    if len(parts) == 1:
        return _is_part(path) and path.casefold() not in (STUDENTS, MANIFEST)
    return len(parts) == 3 and parts[0] == STUDENTS and all(map(_is_part, parts))


def is_aside(stored: str, path: str) -> bool:
    """Whether `stored` is `path` with the suffix of a second version of the file."""
    return stored.startswith(path) and ASIDE.fullmatch(stored, len(path)) is not None


def _is_part(part: str) -> bool:
    return (
        0 < len(part.encode("utf-8", "replace")) <= LONGEST
        and part.isprintable()
        and not part.startswith(".")
        and not part.endswith(".")
        and not any(mark.isspace() or mark in FORBIDDEN for mark in part)
    )


def _entry_problems(files: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for path, entry in files.items():
        shown, stored = ascii(path[:SHOWN]), entry.get("stored")
        if stored is not None and not is_aside(stored, path):
            yield f"{shown} cannot be stored as {stored[:SHOWN]!a}"
        if not SHA256.fullmatch(entry["sha256"]):
            yield f"{shown} has an invalid sha256"
        if entry["bytes"] < 0:
            yield f"{shown} has an invalid size, {entry['bytes']} bytes"
