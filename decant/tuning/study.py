"""The study of a search on disk: Optuna's journal of its trials, the quality of their cases.

All processes of the search share the journal, which holds the whole state. A killed search resumes
from it: interrupted trials run again with the same settings.
"""

import fcntl
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import optuna
from optuna.pruners import MedianPruner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from decant.files import UnusableError, unusable
from decant.tuning import space
from decant.tuning.space import CURRENT, Plan, Settings

NAME, JOURNAL, QUEUE = "search", "journal.log", "queue.lock"
JOB, CASES = "job.json", "cases"  # settings for the workers; quality of each case of a trial
START_OVER = "move it away to restart the search"
WARMUP = 2  # epochs of a trial before it may be stopped
DONE, STOPPED, UNFIT, FAILED = "done", "stopped", "unfit", "failed"
STATES = {
    DONE: TrialState.COMPLETE,
    STOPPED: TrialState.PRUNED,
    UNFIT: TrialState.PRUNED,
    FAILED: TrialState.FAIL,
}


@dataclass(frozen=True)
class TrialResult:
    """The result of a trial. `outcome`: done, stopped, unfit, failed; `why`: reason if not done.

    `same_as`: an earlier trial with the same settings, whose result was copied.
    """

    number: int
    outcome: str
    settings: Settings
    value: float | None = None
    why: str = ""
    seconds: float = 0.0
    parameters: int | None = None
    folds: list[dict[str, Any]] = field(default_factory=list)
    same_as: int | None = None


def best_result(results: Sequence[TrialResult]) -> TrialResult | None:
    """The best trial trained to completion; the earlier one of equal values."""
    done = [result for result in results if result.outcome == DONE and result.value is not None]
    return max(done, key=lambda result: (result.value, -result.number), default=None)


class Study:
    """Optuna's study in the journal of a folder, created if missing.

    Raises:
        UnusableError: the folder or the journal cannot be used. A journal may hold hours of work,
            so it is never replaced.
    """

    def __init__(self, folder: Path) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.folder, self.journal = folder, folder / JOURNAL
        try:
            (folder / CASES).mkdir(parents=True, exist_ok=True)
            backend = JournalFileBackend(str(self.journal), JournalLock(self.journal))
            self._storage = JournalStorage(backend)
            self._study = optuna.create_study(
                storage=self._storage,
                study_name=NAME,
                direction="maximize",
                pruner=MedianPruner(n_warmup_steps=WARMUP),
                load_if_exists=True,
            )
        except OSError as error:
            raise unusable(Path(error.filename or self.journal), error) from None
        except (
            ValueError,
            KeyError,
            TypeError,
            AssertionError,
        ) as error:  # the type depends on the damaged line
            why = f"a line in it is damaged, or of another version: {type(error).__name__}"
            raise UnusableError(self.journal, why, START_OVER) from None

    def requeue(self) -> int:
        """Queue the unfinished trials of a killed search again; return the number of queued trials.

        No other process may use the study.
        """
        for trial in self._trials(TrialState.RUNNING):
            self._storage.set_trial_state_values(self._id(trial.number), TrialState.WAITING)
        return len(self._trials(TrialState.WAITING))

    def begin(self, plan: Plan) -> tuple[optuna.Trial, Settings] | None:
        """Begin the next trial, queued ones first; None if none remain."""
        with exclusive(self.folder / QUEUE):
            waiting = self._trials(TrialState.WAITING)
            number = waiting[0].number if waiting else len(self._trials())
            if not waiting:
                if number >= plan.total:
                    return None
                self._study.enqueue_trial(space.preset(plan, number))
            current = number == CURRENT
            outside = current and not space.contains(plan.tune, plan.current)
            self._study.sampler = space.sampler(plan, number)
            trial = self._study.ask(None if outside else space.distributions(plan.tune))
            settings = plan.current if current else space.decode(plan.tune, trial.params)
            trial.set_user_attr("settings", settings)
            trial.set_user_attr("worker", os.getpid())
            return trial, settings

    def finish(self, number: int, result: dict[str, Any]) -> None:
        """Record the result of a trial: the fields of `TrialResult` that are not in the trial."""
        self._storage.set_trial_user_attr(self._id(number), "result", result)
        state = STATES[result["outcome"]]
        value = result["value"] if state == TrialState.COMPLETE else None
        self._study.tell(number, value, state=state)

    def begun_by(self, process: int) -> dict[int, bool]:
        """Number of each trial that a process began -> whether it has finished."""
        trials = self._trials()
        begun = [trial for trial in trials if trial.user_attrs.get("worker") == process]
        return {trial.number: trial.state.is_finished() for trial in begun}

    def results(self) -> list[TrialResult]:
        """All finished trials, by number.

        Raises:
            UnusableError: the journal is of another version.
        """
        try:
            return [
                TrialResult(
                    trial.number,
                    settings=trial.user_attrs["settings"],
                    seconds=round(trial.duration.total_seconds(), 1) if trial.duration else 0.0,
                    **trial.user_attrs["result"],
                )
                for trial in self._trials(*set(STATES.values()))
            ]
        except (KeyError, TypeError) as error:
            why = f"the result of a trial is damaged, or of another version: {error}"
            raise UnusableError(self.journal, why, START_OVER) from None

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states or None)

    def _id(self, number: int) -> int:
        study = self._storage.get_study_id_from_name(NAME)
        return self._storage.get_trial_id_from_study_id_trial_number(study, number)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock that the kernel releases if its holder is killed."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class JournalLock(JournalFileOpenLock):
    """Lock on the journal that the kernel releases if its holder is killed.

    Acquiring it removes a partly written last line, because Optuna would append to that line and
    stop reading there.
    """

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._journal = journal

    def acquire(self) -> bool:
        """Wait for the lock."""
        self._held = self._journal.open("r+b")
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX)
            cut_torn_line(self._held)
        except BaseException:
            self._held.close()
            raise
        return True

    def release(self) -> None:
        """Release the lock."""
        self._held.close()


def cut_torn_line(journal: BinaryIO) -> None:
    """Remove a last line that was partly written because of a kill or a full disk.

    Raises:
        ValueError: the last line is not the start of a record.
    """
    size = journal.seek(0, os.SEEK_END)
    journal.seek(max(0, size - 1))
    if journal.read() in (b"\n", b""):
        return
    journal.seek(0)
    before, newline, torn = journal.read().rpartition(b"\n")
    if not torn.startswith(b"{"):
        raise ValueError(f"the last line of {journal.name} is damaged")
    journal.truncate(len(before + newline))


def cases_path(folder: Path, number: int) -> Path:
    """Path of the quality of a trial's cases."""
    return folder / CASES / f"{number}.npz"


def save_cases(path: Path, users: np.ndarray, quality: np.ndarray) -> None:
    """Write the user int [C] and NDCG@10 float [C] of each case, of all folds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        np.savez(file, user=users, ndcg=quality)
    os.replace(temporary, path)


def load_cases(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the user and the quality of each case.

    Raises:
        UnusableError: the file is missing or damaged, although its trial is recorded as done.
    """
    try:
        with np.load(path, allow_pickle=False) as saved:
            return saved["user"], saved["ndcg"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        why = f"cases/{path.name}: {getattr(error, 'strerror', None) or 'damaged'}"
        raise UnusableError(path.parents[1], why.lower(), START_OVER) from None
