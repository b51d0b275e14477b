"""Folds that respect time: each learns from what was before its validation window."""

from dataclasses import replace

import numpy as np

from decant.data.split import count_before, quantile
from decant.features.holdout import selection_cases
from decant.features.sequences import Sequences
from decant.params.data import Split


class FoldsError(ValueError):
    """The data has not enough past for so many folds."""

    def __init__(self, fold: int, count: int, lack: str) -> None:
        self.fold, self.count = fold, count
        hint = f"set tune.folds to {fold - 1}" if fold > 1 else "see split in params.yaml"
        super().__init__(f"fold {fold} of {count} has {lack}: {hint}")


def make_folds(sequences: Sequences, cut: Split, count: int) -> list[Sequences]:
    """The same events under other splits, newest first; the first is the split as it is.

    Fold f validates on the window that ends where that of fold f - 1 begins, and learns from
    all before it (an expanding window; Tashman 2000). Of data split by time these are windows
    of `cut.validation` of all events, for everybody the same; else each user's event before.
    What is in the test window is in no fold.

    Raises:
        FoldsError: a fold has nothing to learn from or nothing to validate on.
    """
    folds = [
        replace(sequences, split=shifted(sequences, cut, back) if back else sequences.split)
        for back in range(count)
    ]
    for number, fold in enumerate(folds, 1):
        if not (fold.split[:, 0] > 1).any():
            raise FoldsError(number, count, "no user with two events to learn from")
        if not len(selection_cases(fold, cut.cases_per_user)):
            raise FoldsError(number, count, "no event of the picking half of users to validate on")
    return folds


def shifted(sequences: Sequences, cut: Split, back: int) -> np.ndarray:
    """The split of `back` windows earlier, int [U, 2]: see `Sequences.split`."""
    if cut.method == "leave-one-out":
        return np.maximum(np.asarray(sequences.split) - back, 0)
    offsets, times = np.asarray(sequences.offsets), np.asarray(sequences.times)
    ordered = np.sort(times)
    shares = [max(0.0, 1 - cut.test - n * cut.validation) for n in (back + 1, back)]
    before = [count_before(offsets, times, quantile(ordered, share)) for share in shares]
    return np.stack(before, axis=1).astype(np.int64)
