"""Sparse counts of training events and histories, to fit traditional models on.

N items; index 0 is the padding.
"""

import numpy as np
from scipy import sparse

from decant.features.sequences import Cases, Sequences, ranges, training_events


def user_items(sequences: Sequences, items: int) -> sparse.csr_array:
    """1 for the items of each user in training, float [U, N + 1]."""
    taken = np.asarray(sequences.items)[training_events(sequences)]
    seen = pairs(_training_users(sequences), taken, (sequences.users, items + 1))
    seen.data[:] = 1
    return seen


def follows(
    sequences: Sequences, items: int, steps: int, weight: np.ndarray | None = None
) -> sparse.csr_array:
    """Count of each item `steps` events after another one in training, float [N + 1, N + 1].

    Rows are the earlier items. `weight`: of each training event as the later one; None: 1.
    """
    user = _training_users(sequences)
    same = user[steps:] == user[:-steps]
    taken = np.asarray(sequences.items)[training_events(sequences)]
    later = None if weight is None else weight[steps:][same]
    return pairs(taken[:-steps][same], taken[steps:][same], (items + 1, items + 1), later)


def histories(
    sequences: Sequences, chosen: Cases, items: int, *, decay: float = 1.0, back: int | None = None
) -> sparse.csr_array:
    """Weights of the items before each case, float [C, N + 1].

    The event j back from the end weighs `decay`^j; weights of the same item add up. Only the last
    `back` events count, or all if None.
    """
    start = np.asarray(sequences.offsets)[chosen.user]
    if back is not None:
        start = np.maximum(start, chosen.position - back)
    flat = ranges(start, chosen.position)
    length = chosen.position - start
    weight = decay ** (np.repeat(chosen.position, length) - 1 - flat)
    taken = np.asarray(sequences.items)[flat]
    row = np.repeat(np.arange(len(chosen)), length)
    return pairs(row, taken, (len(chosen), items + 1), weight)


def pairs(
    rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int], weight: np.ndarray | None = None
) -> sparse.csr_array:
    """Sum of the weights of each (row, column) pair; without weights, their count."""
    value = np.ones(len(rows)) if weight is None else weight.astype(np.float64)
    table = sparse.csr_array((value, (rows, columns)), shape=shape)
    table.sum_duplicates()
    return table


def _training_users(sequences: Sequences) -> np.ndarray:
    return np.repeat(np.arange(sequences.users), np.asarray(sequences.split[:, 0]))
