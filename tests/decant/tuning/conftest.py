"""A block, a search of it, and a worker that knows the answer without training."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from decant.params.models import Training
from decant.params.search import Tune
from decant.tuning.plan import Plan
from decant.tuning.workers import Worker

REPOSITORY = Path(__file__).resolve().parents[3]
SPACE = {
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "dropout": {"low": 0.0, "high": 0.5},
    "dimension": {"choices": [16, 32, 64]},
}
# as a trial's program does: the better, the nearer dropout is to .2; orders may want something else
WORKER = """
import os, pathlib, sys, time
from decant.tuning.workers import answer
from decant.tuning.cases import save_cases
import numpy as np
made = pathlib.Path("made")
def prepare(job):
    def evaluate(order, report):
        number, settings = order["number"], order["settings"]
        with made.open("a") as log:
            log.write(f"{number} {os.getpid()}\\n")
        while number == job.get("wait") and not pathlib.Path("go").exists():
            time.sleep(0.01)
        if number == job.get("diverge"):
            raise ValueError("the loss is not\\na number")
        if number == job.get("full") and not pathlib.Path("room").exists():
            raise OSError(28, "No space left on device")
        if number == job.get("crash"):
            raise ZeroDivisionError
        if number == job.get("die"):
            os.kill(os.getpid(), 9)
        print("what a library prints is no answer")
        value = 0.5 - (settings["dropout"] - 0.2) ** 2
        for epoch in range(1, settings["epochs"] + 1):
            report(1, epoch, value * epoch / settings["epochs"])
        file = pathlib.Path(job["folder"], "cases", f"{number}.npz")
        save_cases(file, np.arange(50), value + 0.01 * np.sin(np.arange(50)))
        return {"value": value, "folds": [{"ndcg": value}], "parameters": 10}
    return evaluate
answer(prepare)
"""


@pytest.fixture
def make_plan() -> Callable[..., Plan]:
    """A plan of a search, with other settings of `tune` where given."""

    def make(block: dict[str, Any] | None = None, seed: int = 7, **tune: Any) -> Plan:
        given = {"space": SPACE, "trials": 6, "folds": 1, "method": "random", **tune}
        settings = {"dimension": 32, "heads": 2, "dropout": 0.4, "epochs": 3, **(block or {})}
        return Plan(Tune.model_validate(given), Training.model_validate(settings), seed)

    return make


@pytest.fixture
def make_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Worker]]:
    """Such workers in `tmp_path`, which note what they make in the file `made` there."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))

    def make(count: int = 1, **job: Any) -> list[Worker]:
        told = {"folder": str(tmp_path), **job}
        command = (sys.executable, "-c", WORKER)
        return [Worker(command, told, tmp_path, tmp_path / f"w{n}.log") for n in range(count)]

    return make
