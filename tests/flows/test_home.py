"""What flows do when they are imported: end with what started them, and leave quietly on Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from decant.starter import VARIABLE, signature

REPOSITORY = Path(__file__).resolve().parents[2]
RUN = """
import pathlib, time
import flows
pathlib.Path("imported").write_text("x")
time.sleep(60)
"""
SERVER = """
import os, subprocess, sys
from decant.starter import signature
os.environ.update(signature())
subprocess.run([sys.executable, "-c", sys.argv[1]])
"""
OF_OTHERS = {VARIABLE, "PREFECT_API_URL", "PREFECT_HOME"}


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in OF_OTHERS}
    return {**kept, "PYTHONPATH": str(REPOSITORY)}


def ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_run_ends_with_the_server_process_that_started_it(tmp_path: Path) -> None:
    server = subprocess.Popen([sys.executable, "-c", SERVER, RUN], cwd=tmp_path, env=environment())
    deadline = time.monotonic() + 60
    while not (tmp_path / "imported").exists():
        assert time.monotonic() < deadline and server.poll() is None
        time.sleep(0.02)
    (run,) = psutil.Process(server.pid).children()
    server.kill()
    server.wait()
    while not ended(run):
        assert time.monotonic() < deadline, "the run goes on without its server"
        time.sleep(0.02)


def test_a_run_whose_server_process_is_gone_does_not_begin(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=tmp_path,
        env={**environment(), **signature(), VARIABLE: str(gone.pid)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize(("name", "instant"), [("SIGKILL", 2.5), ("SIGINT", 1.0), ("SIGINT", 3.0)])
def test_a_server_that_is_ended_while_it_starts_leaves_no_process_and_no_trace(
    project: Any, name: str, instant: float
) -> None:
    command = subprocess.Popen(
        [sys.executable, "-m", "flows.serve", "--with-server", "--port", "0"],
        cwd=project.root, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    time.sleep(instant)
    command.send_signal(getattr(signal, name))
    _, said = command.communicate(timeout=60)
    assert command.returncode in (-getattr(signal, name), 130)
    assert "Traceback" not in said
    deadline = time.monotonic() + 30
    while project.running():
        assert time.monotonic() < deadline, project.running()
        time.sleep(0.05)
