"""Bytes, their hashes, and JSON that is written the same way each time."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

CHUNK = 1 << 20  # bytes read at a time
LARGEST_RECORD = 1_000_000  # bytes of what is kept beside the releases
SUMMARIES = ("summary.json", "summary.md")  # what a stage writes about its output


class ContentError(ValueError):
    """A file is not what it should be."""


def digest(content: bytes | Iterable[bytes]) -> str:
    """sha256 in hex of bytes, or of bytes that come in pieces."""
    hasher = hashlib.sha256()
    for chunk in [content] if isinstance(content, bytes) else content:
        hasher.update(chunk)
    return hasher.hexdigest()


def digest_file(path: Path) -> str:
    """sha256 of a file, read in pieces."""
    return digest(pieces(path))


def pieces(path: Path) -> Iterator[bytes]:
    """A file's bytes, a megabyte at a time."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def begin_of(parts: Iterable[bytes], most: int) -> bytes:
    """The first `most` bytes of a content, and one more if there is more."""
    found = bytearray()
    for part in parts:
        found += part[: most + 1 - len(found)]
        if len(found) > most:
            break
    return bytes(found)


def digest_tree(folder: Path) -> dict[str, str]:
    """Relative path → sha256 of each file; hidden files and a stage's summaries are no data."""
    found = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {
        name.as_posix(): digest_file(path)
        for name, path in sorted(found.items())
        if name.as_posix() not in SUMMARIES and not any(part.startswith(".") for part in name.parts)
    }


def canonical(content: Any) -> bytes:
    """JSON for hashing: the same bytes for the same content."""
    text = json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return text.encode()


def readable(content: Any) -> bytes:
    """JSON for people: sorted keys, indented."""
    text = json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people."""
    path.write_bytes(readable(content))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON mapping.

    Raises:
        ContentError: it is not one.
    """
    return parse_json(short(path), path.read_bytes())


def parse_json(name: str, content: bytes) -> dict[str, Any]:
    """Parse a JSON mapping; `name` is only for the message.

    Raises:
        ContentError: it is not one.
    """
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ContentError(f"{name} is not valid JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise ContentError(f"{name}: expected a JSON mapping, found {type(parsed).__name__}")
    return parsed


def short(path: Path) -> str:
    """The last parts of a path: enough to find it, nothing of the machine."""
    return Path(*path.parts[-3:]).as_posix()
