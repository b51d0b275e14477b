"""A plan of a search, and a worker that knows the answer without training."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from decant.params.models import Training
from decant.params.search import Tune
from decant.tuning.search import search
from decant.tuning.space import Plan
from decant.tuning.study import Study, TrialResult

REPOSITORY = Path(__file__).resolve().parents[3]
SPACE = {
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "dropout": {"low": 0.0, "high": 0.5},
    "dimension": {"choices": [16, 32, 64]},
}
# like tasks.trial: the better, the nearer dropout is to .2; a job may want something else
WORKER = """
import json, os, pathlib, sys, time
from decant.starter import end_with_starter
end_with_starter()
import numpy as np
import optuna
from decant.params.models import Training
from decant.params.search import Tune
from decant.tuning.search import work
from decant.tuning.space import Plan
from decant.tuning.study import cases_path, save_cases
job = json.loads(sys.argv[1])
plan = Plan(Tune(**job["tune"]), Training(**job["block"]), job["seed"])
folder = pathlib.Path(sys.argv[2])
note = optuna.Trial.set_user_attr
def set_user_attr(trial, key, value):
    if key == "worker" and trial.number == job.get("nameless") and not os.path.exists("lost"):
        pathlib.Path("lost").touch()
        os.kill(os.getpid(), 9)
    note(trial, key, value)
optuna.Trial.set_user_attr = set_user_attr
def prepare():
    if "prepare" in job:
        raise ValueError("fold 3 of 3 has\\nno user")
    return run
def processes():
    return len({line.split()[1] for line in pathlib.Path("begun").read_text().splitlines()})
def run(number, block, on_epoch):
    with open("begun", "a") as log:
        log.write(f"{number} {os.getpid()}\\n")
    while number == job.get("wait") or processes() < job.get("together", 1):
        time.sleep(0.01)
    if number == job.get("diverge"):
        raise ValueError("the loss is not\\na number")
    if number == job.get("full") and not pathlib.Path("room").exists():
        raise OSError(28, "No space left on device")
    if number == job.get("crash"):
        raise ZeroDivisionError
    if number == job.get("torn"):
        with open(folder / "journal.log", "ab") as journal:
            journal.write(b'{"op_code":8,"wor')
    if number in (job.get("die"), job.get("torn")):
        os.kill(os.getpid(), 9)
    value = 0.5 - (block.dropout - 0.2) ** 2
    for epoch in range(1, block.epochs + 1):
        on_epoch(1, epoch, value * epoch / block.epochs)
    save_cases(cases_path(folder, number), np.arange(50), value + 0.01 * np.sin(np.arange(50)))
    return {"value": value, "folds": [{"ndcg": value}], "parameters": 10}
work(plan, folder, prepare)
"""


@pytest.fixture
def make_plan() -> Callable[..., Plan]:
    """A plan of a search, with the given settings of the block and of `tune`."""

    def make(block: dict[str, Any] | None = None, seed: int = 7, **tune: Any) -> Plan:
        settings = {"space": SPACE, "trials": 6, "folds": 1, "method": "random", **tune}
        teacher = {"dimension": 32, "heads": 2, "dropout": 0.4, "epochs": 3, **(block or {})}
        return Plan(Tune.model_validate(settings), Training.model_validate(teacher), seed)

    return make


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """The command of such a worker; it notes the trials that it begins in the file `begun`."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))

    def command(plan: Plan, folder: Path = tmp_path, **job: Any) -> list[str]:
        tune, block = plan.tune.model_dump(), plan.block.model_dump()
        text = json.dumps({"tune": tune, "block": block, "seed": plan.seed, **job})
        return [sys.executable, "-c", WORKER, text, str(folder)]

    return command


@pytest.fixture
def run(tmp_path: Path, worker: Callable[..., list[str]]) -> Callable[..., list[TrialResult]]:
    """A search with such workers; returns all results."""

    def run_search(
        plan: Plan, folder: Path = tmp_path, log: Any = lambda line: None, **job: Any
    ) -> list[TrialResult]:
        study = Study(folder)
        search(plan, study, worker(plan, folder, **job), tmp_path, log)
        return study.results()

    return run_search
