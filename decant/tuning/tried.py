"""What became of a trial, as it is noted and as it is told."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial, TrialState

NOW = 0  # number of the trial of the settings as they are now
DONE, STOPPED, UNFIT, FAILED = "done", "stopped", "unfit", "failed"
STATES = {
    DONE: TrialState.COMPLETE,
    STOPPED: TrialState.PRUNED,
    UNFIT: TrialState.PRUNED,
    FAILED: TrialState.FAIL,
}


@dataclass(frozen=True)
class Tried:
    """What became of one trial. `outcome`: done, stopped, unfit, failed; `why`, if not done.

    `same_as`: an earlier trial of the same settings, whose result was taken.
    """

    number: int
    outcome: str
    chosen: dict[str, Any]
    value: float | None = None
    why: str = ""
    seconds: float = 0.0
    parameters: int | None = None
    folds: list[dict[str, Any]] = field(default_factory=list)
    same_as: int | None = None


def read(trial: FrozenTrial) -> Tried:
    """A trial that has ended, as it is noted."""
    return Tried(trial.number, chosen=trial.user_attrs["chosen"], **trial.user_attrs["told"])


def best_of(tried: Sequence[Tried]) -> Tried | None:
    """The best of all that were trained to their end; at equal values the earlier one."""
    ended = [one for one in tried if one.outcome == DONE and one.value is not None]
    return max(ended, key=lambda one: (one.value, -one.number), default=None)
