"""Traditional recommenders, fitted on the training events: the bar every model has to clear.

Each is a function of the sequences that returns a `Scorer`. N items; index 0 is no item.
"""

from collections.abc import Callable

import numpy as np
from scipy import sparse

from decant.evaluation.scoring import Scorer
from decant.features.sequences import Cases, Sequences, gather, ranges


def training_events(sequences: Sequences) -> np.ndarray:
    """Flat indices of the events before the validation window, in order."""
    start = np.asarray(sequences.offsets[:-1])
    return ranges(start, start + sequences.split[:, 0])


def training_counts(sequences: Sequences, items: int) -> np.ndarray:
    """Events of each item in training, float [N + 1]."""
    events = np.asarray(sequences.items)[training_events(sequences)]
    return np.bincount(events, minlength=items + 1).astype(np.float64)


def popularity(sequences: Sequences, items: int) -> Scorer:
    """What everybody takes."""
    count = training_counts(sequences, items)
    return lambda sequences, chosen: np.broadcast_to(count, (len(chosen), items + 1))


def item_knn(sequences: Sequences, items: int) -> Scorer:
    """Items whose users are the same as those of the history's items (cosine)."""
    events = training_events(sequences)
    user = np.repeat(np.arange(sequences.users), np.asarray(sequences.split[:, 0]))
    seen = _pairs(user, np.asarray(sequences.items)[events], (sequences.users, items + 1))
    seen.data[:] = 1
    norm = np.sqrt(np.maximum(np.asarray(seen.sum(axis=0)).ravel(), 1))
    scale = sparse.diags_array(1 / norm)
    similar = (scale @ (seen.T @ seen) @ scale).tolil()
    similar.setdiag(0)
    similar = similar.tocsr()

    def score(sequences: Sequences, chosen: Cases) -> np.ndarray:
        start = np.asarray(sequences.offsets)[chosen.user]
        flat = ranges(start, chosen.position)
        row = np.repeat(np.arange(len(chosen)), chosen.position - start)
        history = _pairs(row, np.asarray(sequences.items)[flat], (len(chosen), items + 1))
        return (history @ similar).toarray()

    return score


def markov(
    *, steps: int, step_decay: float, back: int, back_decay: float, shrink: float, damp: float
) -> Callable[[Sequences, int], Scorer]:
    """A chain of item transitions over a window.

    T[a, b] sums `step_decay`^(h-1) over every b that follows an a by h ≤ `steps`; the score of b
    sums `back_decay`^j · T[a, b] / (Σ T[a, ·] + `shrink`) / (count of b + 20)^`damp` over the
    last `back` items a, j back from the end.
    """

    def fit(sequences: Sequences, items: int) -> Scorer:
        moves = sum(
            (_follows(sequences, items, h) * step_decay ** (h - 1) for h in range(1, steps + 1)),
            start=sparse.csr_array((items + 1, items + 1)),
        )
        total = np.asarray(moves.sum(axis=1)).ravel()
        count = training_counts(sequences, items)
        shares = sparse.diags_array(1 / (total + shrink)) @ moves
        weights = sparse.csr_array(shares @ sparse.diags_array((count + 20) ** -damp))
        popular = 1e-9 * count / count.sum()  # orders what no transition reaches

        def score(sequences: Sequences, chosen: Cases) -> np.ndarray:
            start = np.asarray(sequences.offsets)[chosen.user]
            recent = gather(sequences, ("items",), chosen.position, start, back)["items"]
            decay = np.broadcast_to(back_decay ** np.arange(back)[::-1], recent.shape)
            row = np.repeat(np.arange(len(chosen)), back)
            history = sparse.csr_array(
                (decay.ravel() * (recent.ravel() > 0), (row, recent.ravel())),
                shape=(len(chosen), items + 1),
            )
            return (history @ weights).toarray() + popular

        return score

    return fit


BASELINES: dict[str, Callable[[Sequences, int], Scorer]] = {
    "popularity": popularity,
    "item_knn": item_knn,
    "markov": markov(steps=1, step_decay=1, back=1, back_decay=1, shrink=20, damp=0),
    "windowed_markov": markov(
        steps=10, step_decay=0.85, back=10, back_decay=0.7, shrink=20, damp=0.1
    ),
    "short_markov": markov(steps=3, step_decay=0.5, back=5, back_decay=0.5, shrink=5, damp=0),
}


def _follows(sequences: Sequences, items: int, steps: int) -> sparse.csr_array:
    events = training_events(sequences)
    user = np.repeat(np.arange(sequences.users), np.asarray(sequences.split[:, 0]))
    same = user[steps:] == user[:-steps]
    taken = np.asarray(sequences.items)[events]
    return _pairs(taken[:-steps][same], taken[steps:][same], (items + 1, items + 1))


def _pairs(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sparse.csr_array:
    """Count of each (row, column) pair."""
    table = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)
    table.sum_duplicates()
    return table
