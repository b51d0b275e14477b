"""A release's files in a folder: no byte is believed before its hash was checked.

Where a loader looks, exactly what the manifest names must lie: a release in a local registry may
have beside it what a killed publication left, a fetched copy nothing at all.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from decant.release.content import CHUNK, ContentError
from decant.release.names import MANIFEST, SHOWN, is_aside

EVIDENCE = ("comparison.json", "dvc.lock", "params.yaml", "provenance.json")  # of a publication
PLAIN = (
    os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
)  # no link, and no wait for a pipe


@dataclass(frozen=True)
class ReleaseFolder:
    """Where a release lies.

    `files`: what its manifest lists, `{path: {sha256, bytes, stored}}`. `copied`: they lie under
    their own names, as fetching leaves them; else as publishing has stored them.
    """

    folder: Path
    files: Mapping[str, Mapping[str, Any]]
    copied: bool = False

    def read(self, path: str) -> bytes:
        """A file's bytes.

        Raises:
            ContentError: it is not there, or not what the manifest says. OSError
        """
        return b"".join(self._checked(path))

    def problems(self) -> list[str]:
        """What is missing, changed or too much, a line each; empty: it is all as it must be."""
        misplaced = self.misplaced()
        return misplaced or [problem for path in self.files if (problem := self._changed(path))]

    def misplaced(self) -> list[str]:
        """What is missing or too much, or neither file nor folder where one is due."""
        return list(self._misplaced())

    def _misplaced(self) -> Iterator[str]:
        places = {self._place(path) for path in self.files}
        folders = _above(places)
        missing = set(places)
        if self.folder.is_symlink():
            yield "its folder is a symbolic link"
        for name, mode in entries(self.folder):
            missing.discard(name)
            known = name in places | folders | {MANIFEST}
            wanted = stat.S_ISDIR if name in folders else stat.S_ISREG
            if not known and (self.copied or not is_leftover(name, self.files)):
                yield _stray(name)
            elif not wanted(mode):
                yield f"{_shown(name)} is {kind(mode)}"
        yield from (f"{name} is missing" for name in sorted(missing))

    def _place(self, path: str) -> str:
        stored = None if self.copied else self.files[path]["stored"]
        return path if stored is None else str(stored)

    def _changed(self, path: str) -> str | None:
        try:
            for _ in self._checked(path):
                pass
        except ContentError as error:
            return str(error)
        return None

    def _checked(self, path: str) -> Iterator[bytes]:
        """A file's bytes in pieces; for a wrong hash it raises at the end."""
        if path not in self.files:
            raise ContentError(f"{path} is missing")
        entry, hasher = self.files[path], hashlib.sha256()
        descriptor = self._open(path)
        with open(descriptor, "rb", buffering=0) as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise ContentError(f"{path} is {kind(found.st_mode)}")
            if found.st_size != entry["bytes"]:
                raise ContentError(
                    f"{path} was changed: it has {found.st_size} bytes, its manifest says "
                    f"{entry['bytes']}"
                )
            left = int(entry["bytes"])
            while chunk := file.read(min(CHUNK, left)):
                hasher.update(chunk)
                left -= len(chunk)
                yield chunk
        if hasher.hexdigest() != entry["sha256"]:
            raise ContentError(f"{path} was changed")

    def _open(self, path: str) -> int:
        try:
            return os.open(self.folder / self._place(path), PLAIN)
        except (FileNotFoundError, NotADirectoryError):
            raise ContentError(f"{path} is missing") from None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise ContentError(f"{path} is a symbolic link") from None
            raise


def read_bounded(path: Path, most: int) -> bytes:
    """A file's bytes, unless it is no file, a link or larger than `most`.

    Raises:
        ContentError: it is one of those. OSError: it cannot be read.
    """
    try:
        descriptor = os.open(path, PLAIN)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ContentError(f"{path} is a symbolic link") from None
        raise
    with open(descriptor, "rb", buffering=0) as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise ContentError(f"{path} is {kind(mode)}")
        content = bytearray()
        while chunk := file.read(CHUNK):
            content += chunk
            if len(content) > most:
                raise ContentError(f"{path} is larger than {most} bytes")
    return bytes(content)


def stray_problem(name: str, files: Mapping[str, Mapping[str, Any]]) -> str | None:
    """What is wrong with a name that stands among those of a release in a store; None: nothing."""
    places = {str(entry["stored"] or path) for path, entry in files.items()} | {MANIFEST}
    if name in places or is_leftover(name, files) or name.rstrip("/") in _above(places):
        return None
    return _stray(name)


def is_leftover(name: str, files: Mapping[str, Any]) -> bool:
    """Is it a name under which a killed publication may have left a file?"""
    known = {*files, *EVIDENCE}
    return name in known or any(is_aside(name, path) for path in known)


def entries(folder: Path, inside: str = "") -> Iterator[tuple[str, int]]:
    """Everything below a folder: its relative name and mode; links are not followed."""
    with os.scandir(folder / inside) as found:
        for entry in found:
            name = f"{inside}/{entry.name}" if inside else entry.name
            with suppress(FileNotFoundError):  # it was removed meanwhile
                mode = entry.stat(follow_symlinks=False).st_mode
                yield name, mode
                if stat.S_ISDIR(mode):
                    yield from entries(folder, name)


def kind(mode: int) -> str:
    """What stands where a file or a folder is due, in words."""
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if stat.S_ISDIR(mode):
        return "a folder, not a file"
    return "a file, not a folder" if stat.S_ISREG(mode) else "neither a file nor a folder"


def _shown(name: str) -> str:
    return name if name.isprintable() and len(name) <= SHOWN else ascii(name[:SHOWN])


def _above(places: Iterable[str]) -> set[str]:
    """The folders that files lie in."""
    return {folder.as_posix() for place in places for folder in PurePosixPath(place).parents}


def _stray(name: str) -> str:
    return f"{_shown(name)} is not named by its manifest; remove it"
