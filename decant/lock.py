"""Locks of runs and of step programs, which the kernel frees however their holder ends."""

import fcntl
import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from decant.files import UnusableError, unusable

LOCK = Path(".decant/run.lock")
PROGRAMS = Path(".decant/locks")
DYING = 5.0  # seconds that the program of a killed run may take to exit
LOOK_EVERY = 0.05  # seconds
LONGEST_NOTE = 4096  # bytes


class BusyError(ValueError):
    """Another process holds a lock; `pid` and `since` identify it, if it left a note."""

    def __init__(
        self,
        pid: int | None,
        since: str | None,
        what: str = "a run is under way in this folder",
    ) -> None:
        self.pid, self.since = pid, since
        known = f" since {since} (process {pid})" if pid is not None else ""
        super().__init__(f"{what}{known}; wait for it or stop it")


@contextmanager
def locked(root: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the workspace lock: only one process at a time may change its data or settings.

    Raises:
        BusyError: another run holds it and `wait` is not set. UnusableError: locking is impossible.
    """
    with _held(root / LOCK, "a run is under way in this folder", math.inf if wait else 0.0):
        yield


@contextmanager
def only_program(root: Path, name: str, patience: float = DYING) -> Iterator[None]:
    """Hold the lock of a step's program: no other process writes the same outputs meanwhile.

    When a run is killed, its lock is freed at once, but its program may still be exiting, or may
    survive if the kernel cannot notify it.

    Raises:
        BusyError: another program still holds it after `patience` seconds.
        UnusableError: locking is impossible.
    """
    what = f"the program of {name} is already running in this folder"
    with _held(root / PROGRAMS / f"{name}.lock", what, patience):
        yield


@contextmanager
def _held(path: Path, what: str, patience: float) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise unusable(path, error) from None
    try:
        if not _take(path, descriptor, patience):
            raise BusyError(*_read_note(descriptor), what)
        since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        _write_note(descriptor, json.dumps({"pid": os.getpid(), "since": since}).encode())
        try:
            yield
        finally:
            _write_note(descriptor, b"")
    finally:
        os.close(descriptor)


def _take(path: Path, descriptor: int, patience: float) -> bool:
    """Try to lock a file for `patience` seconds; returns whether that succeeded."""
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if patience == math.inf else fcntl.LOCK_NB))
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOOK_EVERY)
        except OSError as error:
            why = f"its file system does not support locks: {error.strerror}"
            raise UnusableError(path, why, "work on a file system with locks") from None


def _write_note(descriptor: int, note: bytes) -> None:
    with suppress(OSError):  # a full disk: the lock holds without a note
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, note, 0)


def _read_note(descriptor: int) -> tuple[int | None, str | None]:
    try:
        holder: Any = json.loads(os.pread(descriptor, LONGEST_NOTE, 0))
    except (OSError, ValueError, RecursionError):
        return None, None
    pid, since = (holder.get("pid"), holder.get("since")) if isinstance(holder, dict) else (0, 0)
    return (pid, since) if isinstance(pid, int) and isinstance(since, str) else (None, None)
