"""Registry storage: keys → bytes, with one compare-and-swap.

Two implementations pass the same contract checks: `LocalStore` (a folder) here and `S3Store` in
`decant.release.s3`. Nothing is ever overwritten except through `swap`.
"""

import contextlib
import fcntl
import os
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from decant.files import CHUNK, LARGEST_RECORD, digest, first_bytes, pieces
from decant.release.faults import (
    PROCESS_ERRORS,
    describe,
    describe_obstacle,
    find_obstacle,
    fingerprint,
)

STALE = 24 * 3600  # seconds after which a temporary file is abandoned


class StoreError(ValueError):
    """The store cannot perform a request; the message says which, and where."""


class MissingKeyError(StoreError):
    """Nothing is stored under `key`."""

    def __init__(self, store: str, key: str, problem: str | None = None) -> None:
        self.store, self.key = store, key
        super().__init__(problem or f"{store}: nothing is stored under `{key}`")


class ObstructedKeyError(MissingKeyError):
    """A folder, broken link or the like in place of the file at `key` or a folder above it.

    Attributes:
        problem: description of the obstacle.
        version: for `swap`; None if no write can replace the obstacle.
    """

    def __init__(self, store: str, key: str, problem: str, version: str | None = None) -> None:
        self.problem, self.version = problem, version
        super().__init__(store, key, f"{store}/{key} {problem}; move it away")


class StoreFaultError(StoreError, OSError):
    """An error of the file system, with its `errno`."""

    def __init__(self, message: str, error: OSError) -> None:
        super().__init__(message)
        self.errno = error.errno


class UnreadableKeyError(StoreFaultError):
    """Unreadable content under `key`, with a description and the `version` for `swap`."""

    def __init__(self, store: str, key: str, error: OSError, version: str) -> None:
        self.store, self.key, self.version = store, key, version
        self.problem = f"cannot be read: {describe(error, Path(store, key))}"
        super().__init__(f"{store}/{key} {self.problem}", error)


DAMAGED_KEY = (ObstructedKeyError, UnreadableKeyError)  # the store itself works


class KeyExistsError(StoreError):
    """The key already exists."""

    def __init__(self, store: str, key: str) -> None:
        self.store, self.key = store, key
        super().__init__(f"{store}: `{key}` already exists and is never overwritten")


class SwapLostError(StoreError):
    """The key was changed concurrently since it was read."""

    def __init__(self, store: str, key: str) -> None:
        self.store, self.key = store, key
        super().__init__(f"{store}: `{key}` was changed concurrently; nothing was written")


class Store(Protocol):
    """A flat space of keys such as `releases/0123/router.json`."""

    @property
    def name(self) -> str:
        """The store's name in messages."""

    def probe(self) -> None:
        """Check that the guarantees of `write_new` and `swap` hold.

        Raises:
            StoreError: they do not, or the store is unreachable.
        """

    def exists(self, key: str) -> bool:
        """Whether something is stored under `key`."""

    def list(self, prefix: str) -> list[str]:
        """All keys that start with `prefix`, sorted."""

    def stream(self, key: str) -> Iterator[bytes]:
        """The bytes under `key` in chunks. Raises MissingKeyError, UnreadableKeyError."""

    def read(self, key: str) -> bytes:
        """The bytes of a record under `key`, at most `LARGEST_RECORD` + 1.

        Raises:
            MissingKeyError, UnreadableKeyError: it cannot be read.
        """

    def read_versioned(self, key: str) -> tuple[bytes, str] | None:
        """As `read`, with the version for `swap`; None for a missing key.

        Raises:
            ObstructedKeyError, UnreadableKeyError: the content cannot be read.
        """

    def write_new(self, key: str, content: bytes | Path) -> None:
        """Store bytes or a file under a new key, atomically. Raises KeyExistsError."""

    def swap(self, key: str, expected: str | None, content: bytes) -> str:
        """Replace version `expected` (None: no content) and return the new version.

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
        """Check that the folder can be created and locked."""
        with self._writing(""), self._locked():
            return

    def exists(self, key: str) -> bool:
        try:
            self._check(key)
        except ObstructedKeyError as error:
            if error.version is None:
                raise
            return False
        except MissingKeyError:
            return False
        return True

    def list(self, prefix: str) -> list[str]:
        start = PurePosixPath(prefix.rpartition("/")[0])
        if ".." in start.parts or start.is_absolute():
            return []
        keys = []
        for folder, subfolders, files in os.walk(self.folder / start, onerror=self._on_walk_error):
            subfolders[:] = [name for name in subfolders if not name.startswith(".")]
            inside = Path(folder).relative_to(self.folder)
            keys += [(inside / name).as_posix() for name in files if not name.startswith(".")]
        return sorted(key for key in keys if key.startswith(prefix))

    def stream(self, key: str) -> Iterator[bytes]:
        self._check(key)
        with self._reading(key):
            yield from pieces(self._path(key))

    def read(self, key: str) -> bytes:
        return first_bytes(self.stream(key), LARGEST_RECORD)

    def read_versioned(self, key: str) -> tuple[bytes, str] | None:
        try:
            with self._reading(key):
                content = self.read(key)
        except ObstructedKeyError:
            raise
        except MissingKeyError:
            return None
        return content, digest(content)

    def write_new(self, key: str, content: bytes | Path) -> None:
        with self._writing(key), self._temporary(content) as temporary, self._locked():
            if self.exists(key):
                raise KeyExistsError(self.name, key)
            self._rename(temporary, self._path(key))

    def swap(self, key: str, expected: str | None, content: bytes) -> str:
        with self._writing(key), self._temporary(content) as temporary, self._locked():
            if self._version(key) != expected:
                raise SwapLostError(self.name, key)
            self._rename(temporary, self._path(key))
        return digest(content)

    def _version(self, key: str) -> str | None:
        try:
            stored = self.read_versioned(key)
        except (ObstructedKeyError, UnreadableKeyError) as error:
            if error.version is None:
                raise
            return error.version
        return stored[1] if stored else None

    def _check(self, key: str) -> None:
        """Raise if `key` is not a regular file."""
        with self._reading(key):
            mode = self._path(key).stat().st_mode
        if not stat.S_ISREG(mode):
            problem = "is a folder" if stat.S_ISDIR(mode) else "is not a regular file"
            raise ObstructedKeyError(self.name, key, problem)

    @contextlib.contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except OSError as error:
            raise self._read_error(self._path(key), key, error) from None

    def _read_error(self, path: Path, key: str, error: OSError) -> StoreError:
        """Turn an error on reading `path` into a StoreError with advice."""
        if error.errno in PROCESS_ERRORS:
            return StoreFaultError(f"{path} cannot be read: {describe(error, path)}", error)
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            return UnreadableKeyError(self.name, key, error, fingerprint(path))
        place = find_obstacle(path, self.folder)
        if place is None:
            return MissingKeyError(self.name, key)
        if place == self.folder:
            return StoreError(f"{describe_obstacle(place)}; move it away")
        if place == path and path.is_symlink():
            problem = "is a broken symbolic link"
            return ObstructedKeyError(self.name, key, problem, fingerprint(path))
        return ObstructedKeyError(self.name, key, f"cannot be reached: {describe_obstacle(place)}")

    def _on_walk_error(self, error: OSError) -> None:
        """Raise if a folder cannot be listed; a missing one is empty."""
        path = Path(error.filename)
        problem = self._read_error(path, path.relative_to(self.folder).as_posix(), error)
        if isinstance(problem, ObstructedKeyError) or not isinstance(problem, MissingKeyError):
            raise problem

    @contextlib.contextmanager
    def _writing(self, key: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except OSError as error:
            path = self.folder / key
            message = f"{path} cannot be written: {describe(error, path)}"
            raise StoreFaultError(message, error) from error

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
        StoreError: it is absolute, empty, or contains `..`.
    """
    path = PurePosixPath(key)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        raise StoreError(f"`{key}` is not a path inside a store")
    return path


def sync_folder(folder: Path) -> None:
    """Sync the names in `folder` to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        place = find_obstacle(folder, Path(folder.anchor)) or folder
        raise StoreError(f"{describe_obstacle(place)}; move it away") from None


def _copy(content: bytes | Path, file: BinaryIO) -> None:
    if isinstance(content, bytes):
        file.write(content)
        return
    with content.open("rb") as source:
        shutil.copyfileobj(source, file, CHUNK)


def _sweep(folder: Path) -> None:
    """Remove leftovers of killed writers, as far as possible."""
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # removed concurrently, or owned by another account
            if time.time() - path.stat().st_mtime > STALE:
                path.unlink()
