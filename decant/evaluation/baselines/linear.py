"""EASE: a closed-form linear model of item co-occurrence (Steck 2019)."""

import numpy as np
from scipy import linalg, sparse

from decant.evaluation.baselines.counts import follows, histories, user_items
from decant.evaluation.scoring import Scorer
from decant.features.sequences import Cases, Sequences, training_counts

# the best of a grid on MovieLens-1M's validation; on the demo's, a decay of 0.5 is better
RIDGE = 200.0  # added to each item's count; the larger, the closer to plain co-occurrence
WINDOW = 20  # events fitted together in the recency-aware model
DECAY = 0.7  # its weight per step back in the history
TOGETHER_RIDGE = 100.0  # of the table beside other counts, the best of 50 to 500 on two logs
MOST_TOGETHER = 8_000  # items of that table, the most frequent: half a minute and 1.5 GB
KEPT = 256  # items of each row of that table, so that it stays sparse


def ease(sequences: Sequences, items: int) -> Scorer:
    """Predict each of a user's items from the others."""
    seen = user_items(sequences, items)
    return _scorer(weights((seen.T @ seen).toarray(), RIDGE), items, decay=1.0)


def recency_ease(sequences: Sequences, items: int) -> Scorer:
    """EASE of items taken at about the same time; the last events of a history weigh most.

    It is fitted on all windows of `WINDOW` consecutive events, including partial ones at both ends
    of a user's sequence, in place of whole users; a history's events weigh `DECAY`^j, j back from
    the end.
    """
    return _scorer(weights(window_gram(sequences, items, WINDOW), RIDGE), items, decay=DECAY)


def together(sequences: Sequences, items: int) -> sparse.csr_array:
    """What is taken at about the same time as each item, as shares, float [N + 1, N + 1].

    The `KEPT` largest positive weights of the recency-aware model of the `MOST_TOGETHER` most
    frequent items, in parts of the largest sum of a row.
    """
    frequency = training_counts(sequences, items)[1:]
    frequent = 1 + np.sort(np.argsort(-frequency, kind="stable")[:MOST_TOGETHER])
    table = weights(window_gram(sequences, items, WINDOW, frequent), TOGETHER_RIDGE)
    if len(frequent) > KEPT:
        table[table < np.partition(table, -KEPT, axis=1)[:, -KEPT, None]] = 0
    positive = sparse.coo_array(np.maximum(table, 0).astype(np.float64))
    place = frequent[positive.row], frequent[positive.col]
    shares = positive.data / (positive.sum(axis=1).max(initial=0) or 1.0)
    return sparse.csr_array((shares, place), shape=(items + 1, items + 1))


def window_gram(
    sequences: Sequences, items: int, width: int, chosen: np.ndarray | None = None
) -> np.ndarray:
    """XᵀX / `width` of the matrix X with one row per window, float [N + 1, N + 1].

    Two events h apart share `width` - h windows. `chosen`: the items of the rows and columns, in
    order; None: all, the padding too.
    """
    chosen = np.arange(items + 1) if chosen is None else chosen
    gram = np.zeros((len(chosen), len(chosen)))
    for h in range(1, width):
        pairs = follows(sequences, items, h)
        gram += (pairs[chosen][:, chosen] * (1 - h / width)).toarray()
    gram += gram.T.copy()
    gram[np.diag_indices(len(chosen))] += training_counts(sequences, items)[chosen]
    return gram


def weights(gram: np.ndarray, ridge: float) -> np.ndarray:
    """Weights of item a for item b, float32 [N + 1, N + 1], zero diagonal; overwrites `gram`.

    The minimum of |X - XB|² + `ridge` |B|² with a zero diagonal is B = I - P / diag(P) by columns,
    P the inverse of XᵀX + `ridge` I.
    """
    gram[np.diag_indices(len(gram))] += ridge
    factor, _ = linalg.cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    inverse, failed = linalg.lapack.dpotri(factor, lower=True, overwrite_c=True)
    assert failed == 0
    lower = np.tril(inverse)
    result = (lower + np.tril(lower, -1).T) / -np.diag(lower)
    np.fill_diagonal(result, 0)
    return result.astype(np.float32)


def _scorer(table: np.ndarray, items: int, *, decay: float) -> Scorer:
    def score(sequences: Sequences, chosen: Cases) -> np.ndarray:
        history = histories(sequences, chosen, items, decay=decay).astype(np.float32)
        return np.asarray(history @ table)

    return score
