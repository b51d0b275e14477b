"""A run that is killed while a step's program is starting leaves nothing that writes."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.workspace import prepare
from tasks.runner.dvc_stages import Run

REPOSITORY = Path(__file__).resolve().parents[2]
GRAPH = {"names": {"known": True, "deps": ["names.txt"], "outs": ["data/names"]}}
FLOW = f"""
from pathlib import Path
from tasks.runner.dvc_stages import Run
Run(Path(), {{"stages": {GRAPH}, "stale": {{}}}}).perform("names", print, force=True)
"""


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


@pytest.mark.parametrize("instant", [random.Random(n).uniform(0, 1) for n in range(3)])
def test_nothing_is_written_after_a_run_was_killed(finished: Any, instant: float) -> None:
    before = (finished.root / "data/names/out.txt").stat().st_mtime_ns
    order = finished.order("names", "wait")
    flow = subprocess.Popen(
        [sys.executable, "-c", FLOW],
        cwd=finished.root,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: any(" names " in words for words in finished.running()))
    time.sleep(instant)
    flow.kill()
    flow.wait()
    until(lambda: not finished.running())  # they end by themselves: their order is to wait
    order.unlink()
    left = finished.root / "data/names/out.txt"  # as it was, where DVC had not removed it yet
    assert not left.exists() or left.stat().st_mtime_ns == before
    prepare(finished.root)
    again = Run(finished.root, {"stages": GRAPH, "stale": {}})
    assert again.perform("names", print, force=True).status == "ran"
    assert (finished.root / "data/names/out.txt").is_file()
