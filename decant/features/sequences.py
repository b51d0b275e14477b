"""Encoded sequences of all users, flat and memory-mapped; batches are sliced by index."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from decant.features.encode import MOMENT, MOST_LAG, age_seconds


@dataclass(frozen=True)
class Sequences:
    """Events of U users, one after another; user u owns `offsets[u]:offsets[u + 1]`.

    `items`, `behaviours`, `ratings`, `gaps` int [E]; `times` float [E]; `target` bool [E]: may be
    predicted; `attributes` int [U, A]; `split` int [U, 2]: number of a user's events before the
    validation window, and before the test window; `baskets` int [E]: events with one number are a
    set, see `encode.basket_numbers`.
    """

    offsets: np.ndarray
    items: np.ndarray
    behaviours: np.ndarray
    ratings: np.ndarray
    gaps: np.ndarray
    times: np.ndarray
    target: np.ndarray
    attributes: np.ndarray
    split: np.ndarray
    baskets: np.ndarray

    @property
    def users(self) -> int:
        return len(self.offsets) - 1

    def save(self, folder: Path) -> None:
        """Write one .npy file per array."""
        folder.mkdir(parents=True, exist_ok=True)
        for field in fields(self):
            np.save(folder / f"{field.name}.npy", getattr(self, field.name), allow_pickle=False)

    @staticmethod
    def load(folder: Path) -> "Sequences":
        """Load memory-mapped arrays: only accessed parts are read."""
        return Sequences(
            **{
                field.name: np.load(folder / f"{field.name}.npy", mmap_mode="r", allow_pickle=False)
                for field in fields(Sequences)
            }
        )


@dataclass(frozen=True)
class Cases:
    """Evaluation cases: predict the event `position` (flat index) of `user` from those before."""

    user: np.ndarray
    position: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    def take(self, index: np.ndarray) -> "Cases":
        return Cases(self.user[index], self.position[index])


VALIDATION, TEST = "validation", "test"


def cases(sequences: Sequences, window: str, per_user: int) -> Cases:
    """The first `per_user` target events of each user within a window (`validation` or `test`).

    An event without a history to predict it from is not a case.
    """
    start, stop = sequences.offsets[:-1], sequences.offsets[1:]
    first = start + sequences.split[:, 0 if window == VALIDATION else 1]
    last = start + sequences.split[:, 1] if window == VALIDATION else stop
    first = np.maximum(first, start + 1)
    position = ranges(first, np.maximum(last, first))
    user = np.repeat(np.arange(sequences.users), np.maximum(last - first, 0))
    wanted = np.asarray(sequences.target)[position]
    user, position = user[wanted], position[wanted]
    _, begins, counts = np.unique(user, return_index=True, return_counts=True)
    keep = np.arange(len(user)) - np.repeat(begins, counts) < per_user
    return Cases(user[keep], position[keep])


def ranges(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """All integers of the half-open ranges [first, last), one range after another."""
    counts = last - first
    ends = counts.cumsum()
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(first - ends + counts, counts)


def training_events(sequences: Sequences) -> np.ndarray:
    """Flat indices of the events before the validation window, in order."""
    start = np.asarray(sequences.offsets[:-1])
    return ranges(start, start + sequences.split[:, 0])


def training_counts(sequences: Sequences, items: int) -> np.ndarray:
    """Events of each item in training, float [N + 1]."""
    events = np.asarray(sequences.items)[training_events(sequences)]
    return np.bincount(events, minlength=items + 1).astype(np.float64)


def gather(
    sequences: Sequences, inputs: tuple[str, ...], stop: np.ndarray, start: np.ndarray, length: int
) -> dict[str, np.ndarray]:
    """Slice events [start, stop) (flat indices, int [B]) → int64 [B, length] each, newest last."""
    index = stop[:, None] + np.arange(-length, 0)
    inside = index >= np.maximum(start, stop - length)[:, None]
    index = np.where(inside, index, 0)
    return {
        name: np.where(inside, getattr(sequences, name)[index], 0).astype(np.int64)
        for name in inputs
    }


def history_lengths(sequences: Sequences, chosen: Cases) -> np.ndarray:
    """Number of events before each case, int [C]."""
    return np.asarray(chosen.position - np.asarray(sequences.offsets)[chosen.user])


def histories(
    sequences: Sequences, chosen: Cases, inputs: tuple[str, ...], length: int
) -> dict[str, np.ndarray]:
    """Model inputs of cases: int64 [B, length] each, and `attributes` int64 [B, A].

    `inputs`: arrays of `Sequences`, and of these: `lags`, `ages`, see `encode`, at the case's own
    moment. Nothing else about the case's event enters.
    """
    start = np.asarray(sequences.offsets)[chosen.user]
    batch = inputs_before(sequences, chosen, inputs, start, length)
    batch["attributes"] = np.asarray(sequences.attributes[chosen.user], dtype=np.int64)
    return batch


def inputs_before(
    sequences: Sequences, chosen: Cases, inputs: tuple[str, ...], start: np.ndarray, length: int
) -> dict[str, np.ndarray]:
    """The same without attributes, of events from `start` on (flat indices, int [B])."""
    stored = tuple(name for name in inputs if name not in MOMENT)
    batch = gather(sequences, stored, chosen.position, start, length)
    if len(stored) < len(inputs):
        batch |= at_the_moment(sequences, chosen, start, length)
    return batch


def at_the_moment(
    sequences: Sequences, chosen: Cases, start: np.ndarray, length: int
) -> dict[str, np.ndarray]:
    """`lags` and `ages` of the events before each case, int64 [B, length]; 0 without an event."""
    index = chosen.position[:, None] + np.arange(-length, 0)
    inside = index >= start[:, None]
    index = np.where(inside, index, 0)
    numbers, times = np.asarray(sequences.baskets), np.asarray(sequences.times)
    lags = np.minimum(numbers[chosen.position][:, None] - numbers[index] + 1, MOST_LAG)
    ages = age_seconds(times[chosen.position][:, None], times[index])
    return {
        name: np.where(inside, array, 0).astype(np.int64)
        for name, array in zip(MOMENT, (lags, ages), strict=True)
    }


def masked_items(
    sequences: Sequences, chosen: Cases, items: int, *, exclude_seen: bool
) -> np.ndarray:
    """Items that are no candidates of each case, bool [B, items + 1]; index 0 always is none.

    With `exclude_seen` those of the history, else those in the same basket: a set has each item
    once.
    """
    start = np.asarray(sequences.offsets)[chosen.user]
    if not exclude_seen:
        start = np.maximum(start, basket_starts(sequences, chosen.position))
    flat = ranges(start, chosen.position)
    row = np.repeat(np.arange(len(chosen)), chosen.position - start)
    mask = np.zeros((len(chosen), items + 1), dtype=bool)
    mask[row, sequences.items[flat]] = True
    mask[:, 0] = True
    return mask


def basket_starts(sequences: Sequences, position: np.ndarray) -> np.ndarray:
    """The first event of the basket that each event belongs to; flat indices, int [P]."""
    numbers = np.asarray(sequences.baskets)
    return np.searchsorted(numbers, numbers[position], side="left")
