"""A worker answers with what came of a trial, and ends when nobody waits for it."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from decant.tuning.workers import LOST, WorkerLost

MakeWorkers = Callable[..., Any]
ORDER = {"number": 1, "settings": {"dropout": 0.2, "epochs": 3}}


def test_it_tells_every_epoch_and_then_the_result(make_workers: MakeWorkers) -> None:
    (worker,) = make_workers()
    heard: list[tuple[int, int, float]] = []
    answer = worker.make(ORDER, lambda *epoch: not heard.append(epoch))
    assert [(fold, epoch) for fold, epoch, _ in heard] == [(1, 1), (1, 2), (1, 3)]
    assert answer["done"]["value"] == heard[-1][2] == 0.5
    worker.close()
    assert "what a library prints is no answer" in worker.log.read_text()


def test_a_trial_that_is_not_to_go_on_is_stopped_and_the_next_one_made(
    make_workers: MakeWorkers, tmp_path: Path
) -> None:
    (worker,) = make_workers()
    assert worker.make(ORDER, lambda fold, epoch, value: epoch < 2) == {"stopped": True}
    assert "done" in worker.make({**ORDER, "number": 2}, lambda *epoch: True)
    worker.close()
    processes = {line.split()[1] for line in (tmp_path / "made").read_text().splitlines()}
    assert len(processes) == 1


def test_an_error_of_the_user_is_one_line_and_any_other_ends_it(make_workers: MakeWorkers) -> None:
    (worker,) = make_workers(diverge=1, crash=2)
    assert worker.make(ORDER, lambda *epoch: True) == {"failed": "the loss is not a number"}
    with pytest.raises(WorkerLost) as lost:
        worker.make({**ORDER, "number": 2}, lambda *epoch: True)
    assert lost.value.status == 1
    assert "ZeroDivisionError" in worker.log.read_text()
    assert "done" in worker.make({**ORDER, "number": 3}, lambda *epoch: True)  # another process
    worker.close()


def test_it_ends_when_its_input_does_even_in_the_middle_of_a_trial(
    make_workers: MakeWorkers, tmp_path: Path
) -> None:
    (worker,) = make_workers()
    process = subprocess.Popen(worker.command, cwd=tmp_path, stdin=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(
        f'{{"wait": 1, "folder": "{tmp_path}"}}\n{{"number": 1, "settings": {{}}}}\n'
    )
    process.stdin.flush()
    while not (tmp_path / "made").exists():
        assert process.poll() is None
    process.stdin.close()
    assert process.wait(30) == LOST
