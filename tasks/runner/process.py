"""Child processes that end with the thread that started them, and their output by line."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from decant.starter import signature

PROGRESS_EVERY = 10.0  # seconds between two lines of one progress bar


def start_child(
    root: Path, *command: str, stderr: int = subprocess.STDOUT
) -> subprocess.Popen[bytes]:
    """Start `python -m tasks.runner.child`; it ends with the calling thread."""
    code = str(Path(__file__).resolve().parents[2])
    environment = {
        **os.environ,
        "DVC_NO_ANALYTICS": "1",
        # active waiting slows everything down if processes outnumber cores
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH", "")])),
        "PYTHONUNBUFFERED": "1",
        "SHELL": "/bin/sh",
        **signature(),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "tasks.runner.child", *command],
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
    )


def kill(child: subprocess.Popen[bytes]) -> None:
    """Kill a child and its descendants if it still runs, and close its pipes."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    if child.stdout is not None:
        child.stdout.close()
    if child.stderr is not None:
        child.stderr.close()


def lines(descriptor: int) -> Iterator[str]:
    """Lines of a stream as they arrive; progress bars that rewrite a line are thinned out."""
    pending = b""
    shown = 0.0
    while chunk := os.read(descriptor, 65536):
        *complete, pending = re.split(rb"(?<=[\r\n])", pending + chunk)
        for raw in complete:
            text = raw.decode(errors="replace").rstrip()
            if raw.endswith(b"\r"):
                if not text or time.monotonic() - shown < PROGRESS_EVERY:
                    continue
                shown = time.monotonic()
            if text:
                yield text
    if pending.strip():
        yield pending.decode(errors="replace").rstrip()
