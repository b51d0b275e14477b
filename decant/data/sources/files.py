"""Read, unpack and decode files; raises UnreadableTableError with a reason."""

import bz2
import codecs
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PACKED: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError)


class UnreadableTableError(ValueError):
    """A file exists but is not the expected table."""

    def __init__(self, file: str, problem: str) -> None:
        self.file, self.problem = file, problem
        super().__init__(f"{file}: {problem}")


def name_within(path: Path, root: Path) -> str:
    """The file's path relative to the source's folder."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def read_content(path: Path, file: str) -> bytes:
    """All bytes of a file; .gz, .bz2, .xz and .zip files are unpacked.

    UTF-16 with a byte order mark, as spreadsheets save it, becomes UTF-8.

    Raises:
        UnreadableTableError: the file is not of this format or truncated, or a .zip does not
            contain exactly one file.
    """
    content = _unpacked(path, file)
    if not content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content
    try:
        return content.decode("utf-16").encode()
    except UnicodeDecodeError as error:
        raise UnreadableTableError(file, f"not utf-16 text at byte {error.start:,}") from None


def _unpacked(path: Path, file: str) -> bytes:
    kind = path.suffix.lower()
    if kind not in (*_PACKED, ".zip"):
        return path.read_bytes()
    try:
        if kind == ".zip":
            return _only_member(path, file)
        with _PACKED[kind](path) as packed:
            content: bytes = packed.read()
        return content
    except _BROKEN as error:
        problem = f"cannot be unpacked as {kind}, it is truncated or in another format: {error}"
        raise UnreadableTableError(file, problem) from None


def decode(content: bytes, file: str, encoding: str = "utf-8-sig") -> str:
    """Content as text.

    Raises:
        UnreadableTableError: invalid bytes in this encoding; the message has the line.
    """
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        name = encoding.removesuffix("-sig")
        problem = f"not {name} text in line {line:,}: save it as UTF-8"
        raise UnreadableTableError(file, problem) from None


def split_lines(text: str) -> list[str]:
    """The lines of a text with their ends: \\n, \\r or both, unlike `str.splitlines`."""
    return io.StringIO(text, newline="").readlines()


def _only_member(path: Path, file: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        if len(names) != 1:
            raise UnreadableTableError(file, f"contains {len(names)} files, expected one")
        return archive.read(names[0])
