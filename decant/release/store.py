"""Where a registry keeps its bytes: keys → bytes, with one compare-and-swap.

Two implementations pass the same contract checks: `LocalStore` (a folder) here and `S3Store` in
`decant.release.s3`. Nothing is ever overwritten except through `swap`.
"""

import contextlib
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from decant.release.content import CHUNK, digest, pieces

STALE = 24 * 3600  # seconds after which a temporary file belongs to nobody


class StoreError(ValueError):
    """The store cannot do what was asked; the message says what and where."""


class MissingKeyError(StoreError):
    """Nothing is stored under `key`."""

    def __init__(self, store: str, key: str) -> None:
        self.store, self.key = store, key
        super().__init__(f"{store}: nothing is stored under `{key}`")


class KeyExistsError(StoreError):
    """Something is stored under `key` already."""

    def __init__(self, store: str, key: str) -> None:
        self.store, self.key = store, key
        super().__init__(f"{store}: `{key}` exists already and is never overwritten")


class SwapLostError(StoreError):
    """Somebody else changed `key` since it was read."""

    def __init__(self, store: str, key: str) -> None:
        self.store, self.key = store, key
        super().__init__(f"{store}: `{key}` was changed by somebody else; nothing was written")


class Store(Protocol):
    """A flat space of keys such as `releases/0123/router.json`."""

    @property
    def name(self) -> str:
        """What people call it in messages."""

    def probe(self) -> None:
        """Check that `write_new` and `swap` keep their promises here.

        Raises:
            StoreError: they do not, or the store cannot be reached.
        """

    def exists(self, key: str) -> bool:
        """Is something stored under `key`?"""

    def list(self, prefix: str) -> list[str]:
        """All keys that start with `prefix`, sorted."""

    def stream(self, key: str) -> Iterator[bytes]:
        """The bytes under `key` in pieces. Raises MissingKeyError."""

    def read(self, key: str) -> bytes:
        """The bytes under `key`. Raises MissingKeyError."""

    def read_versioned(self, key: str) -> tuple[bytes, str] | None:
        """The bytes under `key` with their version for `swap`; None when there are none."""

    def write_new(self, key: str, content: bytes | Path) -> None:
        """Store bytes, or a file's, under a new key, all at once. Raises KeyExistsError."""

    def swap(self, key: str, expected: str | None, content: bytes) -> str:
        """Replace what was read as version `expected` (None: nothing) and return the new version.

        Raises:
            SwapLostError: the key no longer holds that version.
        """


class LocalStore:
    """A folder; a file per key, written under a temporary name, synced, then renamed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def name(self) -> str:
        return str(self.folder)

    def probe(self) -> None:
        """Check that the folder can be made and locked."""
        with self._locked():
            return

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def list(self, prefix: str) -> list[str]:
        keys = []
        for folder, subfolders, files in os.walk(self.folder):
            subfolders[:] = [name for name in subfolders if not name.startswith(".")]
            inside = Path(folder).relative_to(self.folder)
            keys += [(inside / name).as_posix() for name in files if not name.startswith(".")]
        return sorted(key for key in keys if key.startswith(prefix))

    def stream(self, key: str) -> Iterator[bytes]:
        try:
            yield from pieces(self._path(key))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise MissingKeyError(self.name, key) from None

    def read(self, key: str) -> bytes:
        return b"".join(self.stream(key))

    def read_versioned(self, key: str) -> tuple[bytes, str] | None:
        try:
            content = self.read(key)
        except MissingKeyError:
            return None
        return content, digest(content)

    def write_new(self, key: str, content: bytes | Path) -> None:
        with self._temporary(content) as temporary, self._locked():
            if self.exists(key):
                raise KeyExistsError(self.name, key)
            self._rename(temporary, self._path(key))

    def swap(self, key: str, expected: str | None, content: bytes) -> str:
        with self._temporary(content) as temporary, self._locked():
            found = self.read_versioned(key)
            if (found[1] if found else None) != expected:
                raise SwapLostError(self.name, key)
            self._rename(temporary, self._path(key))
        return digest(content)

    def _path(self, key: str) -> Path:
        return self.folder / inner_path(key)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        _make_folder(self.folder)
        with (self.folder / ".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # closing the file releases it
            yield

    @contextlib.contextmanager
    def _temporary(self, content: bytes | Path) -> Iterator[Path]:
        folder = self.folder / ".tmp"
        _make_folder(folder)
        _sweep(folder)
        path = folder / uuid.uuid4().hex
        try:
            with path.open("xb") as file:
                _copy(content, file)
                file.flush()
                os.fsync(file.fileno())
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _rename(self, temporary: Path, final: Path) -> None:
        _make_folder(final.parent)
        os.replace(temporary, final)
        sync_folder(final.parent)


def inner_path(key: str) -> PurePosixPath:
    """`key` as a relative path that stays inside.

    Raises:
        StoreError: it is absolute, empty, or climbs out with `..`.
    """
    path = PurePosixPath(key)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        raise StoreError(f"`{key}` is not a path inside a store")
    return path


def sync_folder(folder: Path) -> None:
    """Ask the disk to keep the names in `folder`."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        file = next(path for path in [folder, *folder.parents] if path.is_file())
        raise StoreError(f"{file}: a file is in the way of the registry's folder") from None


def _copy(content: bytes | Path, file: BinaryIO) -> None:
    if isinstance(content, bytes):
        file.write(content)
        return
    with content.open("rb") as source:
        shutil.copyfileobj(source, file, CHUNK)


def _sweep(folder: Path) -> None:
    """Remove what killed writers left behind."""
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > STALE:
                path.unlink()
