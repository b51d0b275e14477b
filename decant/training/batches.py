"""Training batches, cut from flat sequences without Python work per event."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from decant.features.sequences import Cases, Sequences, gather, inputs_before, ranges

LOOK_AHEAD = 20  # batches sorted by length together: little padding, but still shuffled


@dataclass(frozen=True)
class Windows:
    """Pieces of training sequences, W of them: predict `(first, stop)` of `user`, flat indices.

    The event at `first` is only the input for the first prediction.
    """

    user: np.ndarray
    first: np.ndarray
    stop: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    def take(self, index: np.ndarray) -> "Windows":
        return Windows(self.user[index], self.first[index], self.stop[index])

    def of_users(self, users: np.ndarray) -> "Windows":
        return self.take(np.isin(self.user, users))


def training_windows(sequences: Sequences, length: int) -> Windows:
    """Split each user's training events, from the newest, into windows of `length` predictions."""
    events = np.asarray(sequences.split[:, 0])
    pieces = np.maximum(-(-(events - 1) // length), 0)
    user = np.repeat(np.arange(sequences.users), pieces)
    back = ranges(np.zeros_like(pieces), pieces)
    start = sequences.offsets[user]
    stop = start + events[user] - back * length
    return Windows(user, np.maximum(start, stop - length - 1), stop)


def shuffled_batches(windows: Windows, size: int, rng: np.random.Generator) -> Iterator[Windows]:
    """All windows in random order; those in a batch have similar lengths."""
    order = rng.permutation(len(windows))
    length = windows.stop - windows.first
    batches = []
    for start in range(0, len(order), size * LOOK_AHEAD):
        together = order[start : start + size * LOOK_AHEAD]
        together = together[np.argsort(length[together], kind="stable")]
        batches += [together[i : i + size] for i in range(0, len(together), size)]
    for batch in rng.permutation(len(batches)):
        yield windows.take(batches[batch])


def cut(
    sequences: Sequences, windows: Windows, inputs: tuple[str, ...]
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Model inputs and targets of windows.

    Returns:
        Inputs int64 [B, T] each and `attributes` int64 [B, A]; targets int64 [B, T], 0 where
        nothing is predicted; position int64 [B, T], the flat index of each target.
    """
    longest = int((windows.stop - windows.first).max()) - 1
    newest = Cases(windows.user, windows.stop - 1)
    batch = inputs_before(sequences, newest, inputs, windows.first, longest)
    batch["attributes"] = np.asarray(sequences.attributes[windows.user], dtype=np.int64)
    position = windows.stop[:, None] + np.arange(-longest, 0)
    inside = position > windows.first[:, None]
    position = np.where(inside, position, 0)
    wanted = inside & sequences.target[position]
    return batch, np.where(wanted, sequences.items[position], 0).astype(np.int64), position


def random_mask(windows: Windows, share: float, rng: np.random.Generator) -> np.ndarray:
    """Random mask of events, bool [B, T]: a share of them, and always the newest.

    At inference the mask is last, so the last position is always masked in training.
    """
    masked = rng.random((len(windows), longest_of(windows))) < share
    masked[:, -1] = True
    return masked


def every_nth(windows: Windows, part: int, parts: int) -> np.ndarray:
    """One of `parts` disjoint masks that together hide every event once, bool [B, T]."""
    places = np.arange(longest_of(windows)) % parts == part
    return np.broadcast_to(places, (len(windows), len(places)))


def longest_of(windows: Windows) -> int:
    """Number of events of the longest window."""
    return int((windows.stop - windows.first).max())


def cut_masked(
    sequences: Sequences, windows: Windows, inputs: tuple[str, ...], masked: np.ndarray, mask: int
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Like `cut`, for masked models: masked events are predicted at their own positions.

    Args:
        masked: bool [B, T]; those of these events that may be predicted get the item index `mask`,
            and their other inputs become 0.
    """
    longest = masked.shape[1]
    batch = gather(sequences, inputs, windows.stop, windows.first, longest)
    position = windows.stop[:, None] + np.arange(-longest, 0)
    inside = position >= windows.first[:, None]
    position = np.where(inside, position, 0)
    masked = masked & inside & sequences.target[position]
    targets = np.where(masked, batch["items"], 0)
    for name in inputs:
        batch[name][masked] = mask if name == "items" else 0
    batch["attributes"] = np.asarray(sequences.attributes[windows.user], dtype=np.int64)
    return batch, targets, position
