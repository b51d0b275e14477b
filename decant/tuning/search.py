"""The search: which settings are tried next, by whom, and what came of it so far.

All state is in one journal that only this process writes, so a search that was killed goes on
where it was: trials that were under way are made again, with the same settings.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.trial import FrozenTrial, TrialState
from pydantic import ValidationError

from decant.files import Unusable
from decant.tuning import space
from decant.tuning.cases import CASES
from decant.tuning.journal import ANEW, JOURNAL, open_study
from decant.tuning.plan import Plan, settings_of
from decant.tuning.progress import ending, opening
from decant.tuning.tried import (
    DONE,
    FAILED,
    NOW,
    STATES,
    STOPPED,
    UNFIT,
    Tried,
    best_of,
    read,
)
from decant.tuning.workers import OnEpoch, WorkerLost

EVERY = 15.0  # seconds between two lines about epochs

Log = Callable[[str], None]


class NowFails(ValueError):
    """The settings as they are now cannot be trained with: there is nothing to compare with."""

    def __init__(self, stage: str, why: str) -> None:
        self.stage, self.why = stage, why
        super().__init__(f"{stage} cannot be trained with its settings of now: {why}")


class Hindered(ValueError):
    """A trial could not be made, for a reason that is none of its settings."""

    def __init__(self, number: int, why: str) -> None:
        self.number, self.why = number, why
        super().__init__(f"trial {number}: {why}; the same command goes on from here")


class Maker(Protocol):
    """What makes trials: see `decant.tuning.workers.Worker`."""

    def make(self, order: Mapping[str, Any], on_epoch: OnEpoch) -> dict[str, Any]: ...

    def kill(self) -> None: ...

    def close(self) -> None: ...


def search(plan: Plan, folder: Path, makers: Sequence[Maker], log: Log) -> list[Tried]:
    """Make all trials that are left, one at a time by each of `makers`.

    Raises:
        NowFails: there is no result for the settings as they are now. Hindered: a full disk.
        Unusable: what is there of the search is damaged.
    """
    state = Search(plan, folder, log)
    log(opening(plan, len(makers), state.here, len(state.begun)))
    try:
        with ThreadPoolExecutor(len(makers)) as pool:
            # in the caller's context: where its log goes is noted there
            futures = [pool.submit(copy_context().run, state.work, maker) for maker in makers]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                state.ended = True
                for maker in makers:
                    maker.kill()
                raise
    finally:
        for maker in makers:
            maker.close()
    return state.tried()


class Search:
    """A study and who works on it; every access to the study is under one lock."""

    def __init__(self, plan: Plan, folder: Path, log: Log) -> None:
        self.plan, self.log = plan, log
        self.study = open_study(folder)
        self.begun = self._trials(TrialState.RUNNING)  # by a search that was interrupted
        try:
            self.here = len(self.tried())
        except (KeyError, TypeError) as error:
            why = f"what became of a trial is damaged, or of another version: {error}"
            raise Unusable(folder / JOURNAL, why, ANEW) from None
        if not self.here and not self.begun and any((folder / CASES).glob("*.npz")):
            log(f"{folder / JOURNAL} has lost its trials: they are made again")
        self.ended = False
        self._mutex = threading.Lock()
        self._began = self._spoke = time.monotonic()

    def work(self, maker: Maker) -> None:
        """Make one trial after another until none is left."""
        while not self.ended and (begun := self.begin()) is not None:
            trial, chosen = begun
            settled = self.settle(chosen)
            if settled is None:
                settled = self.make(maker, trial, chosen)
            if settled is not None:
                self.finish(trial, settled)

    def begin(self) -> tuple[optuna.Trial, space.Chosen] | None:
        """The next trial and what it sets; None if all have been begun."""
        with self._mutex:
            if self.begun:
                number = self.begun[0].number
                self.study.sampler = self._sampler(number)
                trial = optuna.Trial(self.study, self.begun.pop(0)._trial_id)
            else:
                number = len(self.study.get_trials(deepcopy=False))
                if number >= self.plan.total:
                    return None
                self.study.sampler = self._sampler(number)
                trial = self.study.ask()
            now = space.now(self.plan.tune, self.plan.block)
            if trial.number != NOW:
                chosen = space.draw(trial, self.plan.tune)
            else:
                chosen = now
                if space.contains(self.plan.tune, now):
                    space.draw(trial, self.plan.tune)  # so that the search learns from it
            trial.set_user_attr("chosen", chosen)
            return trial, chosen

    def settle(self, chosen: space.Chosen) -> dict[str, Any] | None:
        """What is known of such settings without training: they do not fit, or were tried."""
        try:
            settings_of(self.plan.block, chosen)
        except ValidationError as error:
            why = error.errors()[0]["msg"].removeprefix("Value error, ")
            return {"outcome": UNFIT, "why": why}
        with self._mutex:
            for other in self.tried():
                if other.chosen == chosen:
                    first = other.number if other.same_as is None else other.same_as
                    known = {"outcome": other.outcome, "value": other.value, "why": other.why}
                    return {**known, "parameters": other.parameters, "same_as": first}
        return None

    def make(
        self, maker: Maker, trial: optuna.Trial, chosen: space.Chosen
    ) -> dict[str, Any] | None:
        """Have a trial made; None if the search was ended meanwhile: it is made again then."""
        settings = settings_of(self.plan.block, chosen)
        order = {"number": trial.number, "settings": settings.model_dump(mode="json")}
        began = time.monotonic()

        def on_epoch(fold: int, epoch: int, value: float) -> bool:
            last = epoch == settings.epochs and fold == self.plan.tune.folds
            return last or (self.heard(trial, fold, epoch, value) and not self.ended)

        try:
            answer = maker.make(order, on_epoch)
        except WorkerLost as error:
            answer = {"failed": str(error)}
        if self.ended:
            return None
        if "hindered" in answer:
            raise Hindered(trial.number, answer["hindered"])
        seconds = {"seconds": round(time.monotonic() - began, 1)}
        if "failed" in answer:
            if trial.number == NOW:  # not noted: the next search tries it again
                raise NowFails(self.plan.tune.stage, answer["failed"])
            return {"outcome": FAILED, "why": answer["failed"], **seconds}
        if "stopped" in answer:
            return {"outcome": STOPPED, "why": "worse than half of the trials", **seconds}
        return {"outcome": DONE, **answer["done"], **seconds}

    def heard(self, trial: optuna.Trial, fold: int, epoch: int, value: float) -> bool:
        """Take note of an epoch; whether the trial may go on.

        Only the first fold stops a trial: its epochs are comparable between all trials.
        """
        with self._mutex:
            if time.monotonic() - self._spoke > EVERY:
                self._say(
                    f"trial {trial.number}: fold {fold}/{self.plan.tune.folds}, epoch {epoch}: "
                    f"NDCG@10 {value:.4f}"
                )
            if fold > 1 or trial.number == NOW:
                return True
            known = self.study.get_trials(deepcopy=False)[trial.number].intermediate_values
            if epoch not in known:  # else from before an interruption
                trial.report(max([value, *(v for e, v in known.items() if e < epoch)]), epoch)
            return not trial.should_prune()

    def finish(self, trial: optuna.Trial, settled: Mapping[str, Any]) -> None:
        """Note what became of a trial, and say so."""
        with self._mutex:
            trial.set_user_attr("told", dict(settled))
            outcome = settled["outcome"]
            value = settled["value"] if outcome == DONE else None
            self.study.tell(trial, value, state=STATES[outcome])
            self._say(self._progress(trial.number))

    def tried(self) -> list[Tried]:
        """Every trial that has ended, by number."""
        return [read(trial) for trial in self._trials(*set(STATES.values()))]

    def _progress(self, number: int) -> str:
        done = self.tried()
        one = next(one for one in done if one.number == number)
        each = (time.monotonic() - self._began) / (len(done) - self.here)
        return ending(self.plan, one, best_of(done), each * (self.plan.total - len(done)))

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        tune, now = self.plan.tune, space.now(self.plan.tune, self.plan.block)
        if number == NOW:
            return space.Given(space.stored(now, tune))
        return space.sampler(tune, number, self.plan.seed)

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states)

    def _say(self, line: str) -> None:
        self._spoke = time.monotonic()
        self.log(line)
