"""The run of a search: worker processes take trials from its study until none remain."""

import asyncio
import os
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import optuna
from pydantic import ValidationError

from decant.params.models import Training
from decant.starter import signature
from decant.tuning.space import CURRENT, Plan, Settings
from decant.tuning.study import CASES, DONE, FAILED, STOPPED, UNFIT, Study, best_result

EVERY = 15.0  # seconds between log lines about the epochs of a trial
ERROR = "error: "  # prefix of the last line of a worker that stops the search

Log = Callable[[str], None]
OnEpoch = Callable[[int, int, float], None]  # fold and epoch, both from 1, and its NDCG@10
RunTrial = Callable[
    [int, Training, OnEpoch], dict[str, Any]
]  # arguments: number and settings block of a trial


class SearchError(ValueError):
    """A search cannot continue."""


class CurrentSettingsFailError(SearchError):
    """The current settings cannot be trained, so there is no reference."""

    def __init__(self, stage: str, why: str) -> None:
        super().__init__(f"the current settings of {stage} cannot be trained: {why}")


def search(plan: Plan, study: Study, command: Sequence[str], root: Path, log: Log) -> None:
    """Run all remaining trials in processes of `command`, which calls `work`.

    Raises:
        SearchError: the search cannot continue. UnusableError: its files cannot be used.
    """
    interrupted, done = study.requeue(), len(study.results())
    if not done and not interrupted and any((study.folder / CASES).glob("*.npz")):
        log(f"{study.journal} has lost its trials: they run again")
    workers = range(min(plan.tune.workers, plan.total))
    log(opening(plan, len(workers), done, interrupted))

    async def attend_all() -> None:
        async with asyncio.TaskGroup() as group:  # awaits workers that it cancels
            for number in workers:
                errors = study.folder / f"worker-{number}.log"
                group.create_task(_attend(plan, study, command, root, errors, log))

    while interrupted or len(study.results()) < plan.total:
        try:
            asyncio.run(attend_all())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        interrupted = study.requeue()  # of a worker lost before it registered for its trial


async def _attend(
    plan: Plan, study: Study, command: Sequence[str], root: Path, errors: Path, log: Log
) -> None:
    """Keep one worker running and forward its output until no trial remains."""
    status, text = None, ""
    errors.write_bytes(b"")
    while status != 0:
        worker = await _start(command, root, errors)
        try:
            assert worker.stdout is not None
            async for line in worker.stdout:
                text = line.decode(errors="replace").rstrip()
                if not text.startswith(ERROR):
                    log(text)
            status = await worker.wait()
        finally:
            if worker.returncode is None:
                worker.kill()
            await worker.communicate()  # read the rest of its output
        if status and text.startswith(ERROR):
            raise SearchError(text.removeprefix(ERROR))
        if status:
            how = f"by signal {-status}" if status < 0 else f"with status {status}"
            why = f"its process ended {how}, see {errors}"
            for number in note_loss(plan, study, worker.pid, why):
                log(progress(plan, study, number))


async def _start(command: Sequence[str], root: Path, errors: Path) -> Process:
    # active waiting slows everything down if processes outnumber cores
    waiting = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
    with errors.open("ab") as file:
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=root,
            env={**os.environ, **signature(), **waiting, "PYTHONUNBUFFERED": "1"},
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=file,
            start_new_session=True,  # Ctrl-C is only for the search
        )


def note_loss(plan: Plan, study: Study, worker: int, why: str) -> list[int]:
    """Mark the unfinished trial of a lost process as failed; return its number.

    Raises:
        SearchError: the process began no trial, so that another would fail too.
    """
    begun = study.begun_by(worker)
    if not begun:
        raise SearchError(f"a worker could not begin a trial: {why}")
    lost = [number for number, ended in begun.items() if not ended]
    if CURRENT in lost:  # not recorded: the next search retries it
        raise CurrentSettingsFailError(plan.tune.stage, why)
    for number in lost:
        study.finish(number, {"outcome": FAILED, "why": why})
    return lost


def work(plan: Plan, folder: Path, prepare: Callable[[], RunTrial]) -> None:
    """Worker loop: run trials until none remain, and print a line about each.

    A ValueError in a trial marks it as failed. An OSError, or either of these in `prepare`, stops
    the search. Any other error ends this process, and its trial counts as failed.
    """
    where = ""
    try:
        study, run_trial = Study(folder), prepare()
        began, before = time.monotonic(), len(study.results())
        while (begun := study.begin(plan)) is not None:
            trial, settings = begun
            where = f"trial {trial.number}: "
            study.finish(trial.number, _result(plan, study, trial, settings, run_trial))
            done = len(study.results())
            remaining = (time.monotonic() - began) / (done - before) * (plan.total - done)
            print(progress(plan, study, trial.number, remaining))
        return
    except ValueError as error:
        print(ERROR + one_line(error))
    except OSError as error:
        print(f"{ERROR}{where}{one_line(error)}; rerun the same command to resume")
    sys.exit(1)


def _result(
    plan: Plan, study: Study, trial: optuna.Trial, settings: Settings, run_trial: RunTrial
) -> dict[str, Any]:
    """Run a trial, unless its settings are invalid or repeat an earlier trial."""
    try:
        block = plan.block_with(settings)
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        return {"outcome": UNFIT, "why": why}
    for other in study.results():
        if other.settings == settings:
            same_as = other.number if other.same_as is None else other.same_as
            copied = {"outcome": other.outcome, "value": other.value, "why": other.why}
            return {**copied, "parameters": other.parameters, "same_as": same_as}
    try:
        result = run_trial(trial.number, block, _listener(plan, trial, block.epochs))
        return {"outcome": DONE, **result}
    except optuna.TrialPruned:
        return {"outcome": STOPPED, "why": "worse than half of the trials"}
    except ValueError as error:
        if trial.number == CURRENT:  # not recorded: the next search retries it
            raise CurrentSettingsFailError(plan.tune.stage, one_line(error)) from None
        return {"outcome": FAILED, "why": one_line(error)}


def _listener(plan: Plan, trial: optuna.Trial, epochs: int) -> OnEpoch:
    """Print the progress of a trial regularly, and stop it if it is worse than the median.

    Only the first fold can stop a trial, since its epochs are comparable between all trials.
    """
    best, printed, folds = float("-inf"), time.monotonic(), plan.tune.folds

    def on_epoch(fold: int, epoch: int, value: float) -> None:
        nonlocal best, printed
        if time.monotonic() - printed > EVERY:
            printed = time.monotonic()
            where = f"fold {fold}/{folds}, epoch {epoch}"
            print(f"trial {trial.number}: {where}: NDCG@10 {value:.4f}")
        if fold > 1 or trial.number == CURRENT:
            return
        best = max(best, value)
        trial.report(best, epoch)
        ends = epoch == epochs and folds == 1
        if not ends and trial.should_prune():
            raise optuna.TrialPruned

    return on_epoch


def opening(plan: Plan, workers: int, done: int, interrupted: int) -> str:
    """The first log line: the number of trials, and those done before."""
    tune = plan.tune
    line = (
        f"{plan.total} trials of {tune.stage} ({tune.method}; 0 has the current settings), "
        f"{tune.folds} fold{'s' * (tune.folds > 1)} each, {workers} at a time"
    )
    if done or interrupted:
        line += f"; {done} done before"
    return line + (f", {interrupted} interrupted, which run again" if interrupted else "")


def progress(plan: Plan, study: Study, number: int, seconds_left: float = 0.0) -> str:
    """A line about a finished trial: its result, the best so far, the remaining time."""
    results = study.results()
    result, best = next(r for r in results if r.number == number), best_result(results)
    outcome = f"{result.outcome} ({result.why})"
    if result.outcome == DONE:
        outcome = f"NDCG@10 {result.value:.4f}"
    if result.same_as is not None:
        outcome += f" (repeats trial {result.same_as})"
    settings = ", ".join(f"{name} {value}" for name, value in result.settings.items())
    parts = [f"trial {number} of {plan.total - 1}: {outcome} [{settings}]"]
    if best is not None:
        parts.append(f"best {best.value:.4f} (trial {best.number})")
    if seconds_left > 0:
        parts.append(f"{timedelta(seconds=round(seconds_left))} left")
    return ", ".join(parts)


def one_line(error: Exception) -> str:
    """The message of an error."""
    return " ".join(str(error).split()) or type(error).__name__
