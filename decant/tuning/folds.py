"""Time-respecting folds: each is trained on the events before its validation window."""

from dataclasses import replace

import numpy as np

from decant.data.split import count_before, quantile
from decant.features.holdout import selection_cases
from decant.features.sequences import Sequences
from decant.params.data import Split


class FoldsError(ValueError):
    """The data is too short for the number of folds."""

    def __init__(self, fold: int, count: int, lack: str) -> None:
        self.fold, self.count = fold, count
        hint = f"set tune.folds to {fold - 1}" if fold > 1 else "see split in params.yaml"
        super().__init__(f"fold {fold} of {count} has {lack}: {hint}")


def make_folds(sequences: Sequences, cut: Split, count: int) -> list[Sequences]:
    """The same events under other splits, newest first; the first is the original split.

    Fold f validates on the window that ends where that of fold f - 1 begins, and is trained on
    all events before it (an expanding window; Tashman 2000). With a split by time, the windows
    hold a share `cut.validation` of all events and are the same for all users; else each user's
    windows are as long as their validation window. Events of the test window are in no fold.

    Raises:
        FoldsError: a fold has no training events or no validation events.
    """
    folds = [
        replace(sequences, split=shifted(sequences, cut, back) if back else sequences.split)
        for back in range(count)
    ]
    for number, fold in enumerate(folds, 1):
        if not (fold.split[:, 0] > 1).any():
            raise FoldsError(number, count, "no user with two events to train on")
        if not len(selection_cases(fold, cut.cases_per_user)):
            raise FoldsError(
                number, count, "no event of the selection half of users to validate on"
            )
    return folds


def shifted(sequences: Sequences, cut: Split, back: int) -> np.ndarray:
    """The split moved back by `back` windows, int [U, 2]; see `Sequences.split`."""
    if cut.method != "time":
        first, last = np.asarray(sequences.split).T
        return np.maximum(np.stack([first, last], axis=1) - back * (last - first)[:, None], 0)
    offsets, times = np.asarray(sequences.offsets), np.asarray(sequences.times)
    ordered = np.sort(times)
    shares = [max(0.0, 1 - cut.test - n * cut.validation) for n in (back + 1, back)]
    before = [count_before(offsets, times, quantile(ordered, share)) for share in shares]
    return np.stack(before, axis=1).astype(np.int64)
