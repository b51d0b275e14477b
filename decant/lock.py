"""One run at a time in a project's folder, whatever it is that changes its data or settings."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LOCK = Path(".decant/run.lock")


class Busy(ValueError):
    """Another run holds the workspace; `pid` and `since` say which."""

    def __init__(self, pid: int, since: str) -> None:
        self.pid, self.since = pid, since
        super().__init__(
            f"a run is under way in this folder since {since} (process {pid}); "
            "wait for it or stop it"
        )


@contextmanager
def locked(root: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of the workspace; the kernel frees it when this process ends, however."""
    path = root / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise _busy(path) from None
        since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "since": since}))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _busy(path: Path) -> Busy:
    try:
        holder: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Busy(int(holder["pid"]), str(holder["since"]))
    except (ValueError, KeyError):
        return Busy(0, "a moment ago")
