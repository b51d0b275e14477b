"""Files: digests, reproducible JSON, atomic writes, errors for unusable ones."""

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

CHUNK = 1 << 20  # bytes read at a time
LARGEST_RECORD = 1_000_000  # bytes of a record stored beside the releases
SUMMARIES = ("summary.json", "summary.md")  # files in which a stage describes its output


class ContentError(ValueError):
    """A file has invalid content."""


def digest(content: bytes | Iterable[bytes]) -> str:
    """Hexadecimal sha256 of bytes, or of an iterable of bytes."""
    hasher = hashlib.sha256()
    for chunk in [content] if isinstance(content, bytes) else content:
        hasher.update(chunk)
    return hasher.hexdigest()


def digest_file(path: Path) -> str:
    """sha256 of a file, read in chunks."""
    return digest(pieces(path))


def pieces(path: Path) -> Iterator[bytes]:
    """A file's bytes, a megabyte at a time."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def first_bytes(parts: Iterable[bytes], most: int) -> bytes:
    """The first `most` bytes of a content, and one more if it is longer."""
    head = bytearray()
    for part in parts:
        head += part[: most + 1 - len(head)]
        if len(head) > most:
            break
    return bytes(head)


def digest_tree(folder: Path) -> dict[str, str]:
    """Relative path → sha256 of each file, except hidden files and a stage's summaries."""
    files = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {
        name.as_posix(): digest_file(path)
        for name, path in sorted(files.items())
        if name.as_posix() not in SUMMARIES and not any(part.startswith(".") for part in name.parts)
    }


def canonical(content: Any) -> bytes:
    """JSON for hashing: the same bytes for the same content."""
    text = json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return text.encode()


def readable(content: Any) -> bytes:
    """Readable JSON: sorted keys, indented."""
    text = json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def write_json(path: Path, content: Any) -> None:
    """Write readable JSON."""
    path.write_bytes(readable(content))


def replace_file(path: Path, content: bytes | str) -> None:
    """Write a file atomically: under a temporary name, then renamed."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(temporary, path)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON mapping.

    Raises:
        ContentError: the content is not a JSON mapping.
    """
    return parse_json(short(path), path.read_bytes())


def parse_json(name: str, content: bytes) -> dict[str, Any]:
    """Parse a JSON mapping; `name` is only for the message.

    Raises:
        ContentError: the content is not a JSON mapping.
    """
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ContentError(f"{name} is not valid JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise ContentError(f"{name}: expected a JSON mapping, found {type(parsed).__name__}")
    return parsed


def short(path: Path) -> str:
    """The last parts of a path: enough to identify it, without revealing the machine."""
    return Path(*path.parts[-3:]).as_posix()


FOLDER = Path(".decant")
READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
FULL = (errno.ENOSPC, errno.EDQUOT)


class UnusableError(ValueError):
    """A file or folder that a run needs cannot be used; `path`: the one to move away."""

    def __init__(self, path: Path, why: str, advice: str = "move it away") -> None:
        self.path, self.why, self.advice = path, why, advice
        super().__init__(f"{path} cannot be used ({why}): {advice}")


def unusable(path: Path, error: OSError) -> UnusableError:
    """Convert an OSError to one line with the obstructing path and what to do."""
    blocking = next((folder for folder in reversed(path.parents) if _no_folder(folder)), None)
    if blocking is not None:
        return UnusableError(blocking, "a folder is needed there")
    if os.path.islink(path) and not os.path.exists(path):
        return UnusableError(path, f"it is a link to {os.readlink(path)}, which does not exist")
    if isinstance(error, FileExistsError | NotADirectoryError):
        return UnusableError(path, "a folder is needed there")
    why = (error.strerror or type(error).__name__).lower()
    if error.errno in READ_ONLY:
        there = next((p for p in (path, *path.parents) if os.path.lexists(p)), path)
        return UnusableError(there, why, "make it readable and writable, or move it away")
    if error.errno in FULL:
        return UnusableError(path, why, "free disk space")
    return UnusableError(path, why)


def _no_folder(path: Path) -> bool:
    return os.path.lexists(path) and not os.path.isdir(
        path
    )  # unlike the methods of Path, these never raise
