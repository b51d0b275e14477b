"""Load a release in a child process first, within a deadline and a memory limit.

Loading may hang or exhaust memory. The service itself loads the same bytes only after the child has
loaded the release and answered with it.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import decant
from decant.release.folder import ReleaseFolder
from decant.release.records import DamagedReleaseError, Release
from decant.starter import signature

PROGRAM = "decant.serving.preload_child"
PACKAGES = Path(decant.__file__).parents[1]
FEW_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # each thread takes memory
LONGEST_WORDS = 300  # characters shown of a failed child's stderr


class NotLoadedError(ValueError):
    """A release cannot be loaded; `release` is its id."""

    def __init__(self, release: str, problem: str) -> None:
        self.release = release
        super().__init__(f"release {release} {problem}")


class Preload:
    """Load releases in child processes, one at a time, each within `seconds` and `memory_mb`."""

    def __init__(self, seconds: float, memory_mb: int) -> None:
        self.seconds, self.memory_mb = seconds, memory_mb
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._ended = False

    def check(self, release: Release, folder: ReleaseFolder) -> None:
        """Load a release in a child process and answer with it.

        Raises:
            DamagedReleaseError: files differ from the manifest, or documents contradict each other.
            NotLoadedError: the release cannot be loaded, cannot answer, or exceeds the limits.
        """
        job = {
            "folder": str(folder.folder),
            "copied": folder.copied,
            "manifest": release.model_dump(mode="json"),
            "seconds": self.seconds,
            "memory_mb": self.memory_mb,
        }
        answer = self._answer(release.id, json.dumps(job))
        if "damaged" in answer:
            raise DamagedReleaseError(release.id, answer["damaged"])
        if "memory" in answer:
            raise NotLoadedError(release.id, self._out_of_memory())
        if "refused" in answer:
            raise NotLoadedError(release.id, f"cannot be served: {answer['refused']}")

    def end(self) -> None:
        """Kill a running child, and start no other."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                self._process.kill()

    def _answer(self, release: str, job: str) -> dict[str, Any]:
        process = self._start(release)
        atexit.register(
            process.kill
        )  # needed outside Linux, where it does not end with this process
        try:
            output, errors = process.communicate(job, timeout=self.seconds)
        except subprocess.TimeoutExpired:
            problem = (
                f"was not loaded and ready to answer within {self.seconds:g} s (serve.load_seconds)"
            )
            raise NotLoadedError(release, problem) from None
        finally:
            process.kill()
            process.communicate()
            atexit.unregister(process.kill)
        try:
            answer: dict[str, Any] = json.loads(output)
        except ValueError:
            raise NotLoadedError(release, self._death(process.returncode, errors)) from None
        return answer

    def _start(self, release: str) -> subprocess.Popen[str]:
        with self._lock:
            if self._ended:
                raise NotLoadedError(release, "was not loaded: the service is shutting down")
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", PROGRAM],
                env=environment(os.environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # Ctrl-C is only for the service
            )
            return self._process

    def _out_of_memory(self) -> str:
        return (
            f"needs more than {self.memory_mb} MB of memory to load and to answer "
            "(serve.load_memory_mb)"
        )

    def _death(self, status: int, errors: str) -> str:
        """The message for a child that ended without an answer."""
        last = " ".join(errors.split())[-LONGEST_WORDS:]
        if "bad_alloc" in last or "MemoryError" in last:
            return self._out_of_memory()
        how = f"with status {status}" if status >= 0 else f"by {signal.Signals(-status).name}"
        return f"cannot be served: the process that loaded it ended {how}" + (last and f": {last}")


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The child's environment: this installation of the package, few threads, this process's id."""
    paths = [str(PACKAGES), *filter(None, [inherited.get("PYTHONPATH")])]
    path = {"PYTHONPATH": os.pathsep.join(paths)}
    return {**inherited, **FEW_THREADS, **path, **signature()}
