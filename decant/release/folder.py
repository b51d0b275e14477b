"""A release's files in a folder, whose hashes are verified on reading.

A folder holds exactly the files that the manifest lists. A local registry may also contain
leftovers of a killed publication, which no loader reads.
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

from decant.files import CHUNK, ContentError
from decant.release.names import MANIFEST, SHOWN, is_aside

EVIDENCE = ("comparison.json", "dvc.lock", "params.yaml", "provenance.json")  # of a publication
PLAIN = (
    os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
)  # refuse links, do not block on a pipe


@dataclass(frozen=True)
class ReleaseFolder:
    """The folder of one release.

    `files`: the files of the manifest, `{path: {sha256, bytes, stored}}`. `copied`: a fetched copy
    with every file under its path; otherwise files have their `stored` names.
    """

    folder: Path
    files: Mapping[str, Mapping[str, Any]]
    copied: bool = False

    def read(self, path: str) -> bytes:
        """Read a file.

        Raises:
            ContentError: the file is missing or differs from the manifest. OSError
        """
        return b"".join(self._checked(path))

    def problems(self) -> list[str]:
        """List missing, changed and additional files, one line each."""
        misplaced = self.misplaced()
        return misplaced or [problem for path in self.files if (problem := self._changed(path))]

    def misplaced(self) -> list[str]:
        """List missing and additional files, and links or folders in place of files."""
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
        """Yield a file in chunks; a wrong hash raises after the last one."""
        if path not in self.files:
            raise ContentError(f"{path} is missing")
        entry, hasher = self.files[path], hashlib.sha256()
        descriptor = self._open(path)
        with open(descriptor, "rb", buffering=0) as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ContentError(f"{path} is {kind(status.st_mode)}")
            if status.st_size != entry["bytes"]:
                raise ContentError(
                    f"{path} was changed: it has {status.st_size} bytes, its manifest says "
                    f"{entry['bytes']}"
                )
            remaining = int(entry["bytes"])
            while chunk := file.read(min(CHUNK, remaining)):
                hasher.update(chunk)
                remaining -= len(chunk)
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
    """Read a regular file of at most `most` bytes.

    Raises:
        ContentError: a link, not a regular file, or larger. OSError: it cannot be read.
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
    """The problem of an unexpected name in a release's folder, None for an expected name."""
    places = {str(entry["stored"] or path) for path, entry in files.items()} | {MANIFEST}
    if name in places or is_leftover(name, files) or name.rstrip("/") in _above(places):
        return None
    return _stray(name)


def is_leftover(name: str, files: Mapping[str, Any]) -> bool:
    """Whether a file of this name may be a leftover of a killed publication."""
    known = {*files, *EVIDENCE}
    return name in known or any(is_aside(name, path) for path in known)


def entries(folder: Path, inside: str = "") -> Iterator[tuple[str, int]]:
    """Relative name and mode of everything below a folder; links are not followed."""
    with os.scandir(folder / inside) as scan:
        for entry in scan:
            name = f"{inside}/{entry.name}" if inside else entry.name
            with suppress(FileNotFoundError):  # removed meanwhile
                mode = entry.stat(follow_symlinks=False).st_mode
                yield name, mode
                if stat.S_ISDIR(mode):
                    yield from entries(folder, name)


def kind(mode: int) -> str:
    """A description of an unexpected file mode."""
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if stat.S_ISDIR(mode):
        return "a folder, not a file"
    return "a file, not a folder" if stat.S_ISREG(mode) else "neither a file nor a folder"


def _shown(name: str) -> str:
    return name if name.isprintable() and len(name) <= SHOWN else ascii(name[:SHOWN])


def _above(places: Iterable[str]) -> set[str]:
    """The folders that contain the files."""
    return {folder.as_posix() for place in places for folder in PurePosixPath(place).parents}


def _stray(name: str) -> str:
    return f"{_shown(name)} is not listed in its manifest; remove it"
