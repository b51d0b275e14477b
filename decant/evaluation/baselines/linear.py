"""EASE: one closed-form linear model of which items go together (Steck 2019)."""

import numpy as np
from scipy import linalg

from decant.evaluation.baselines.counts import follows, histories, user_items
from decant.evaluation.scoring import Scorer
from decant.features.sequences import Cases, Sequences, training_counts

# chosen on MovieLens-1M's validation, and looked at on the demo's
RIDGE = 200.0  # what is added to each item's count: the more, the closer to plain co-occurrence
WINDOW = 20  # events that are fitted together, for the model that heeds recency
DECAY = 0.7  # weight of an event one step further back, in its history


def ease(sequences: Sequences, items: int) -> Scorer:
    """A user's items, each predicted from the others."""
    seen = user_items(sequences, items)
    return _scorer(weights((seen.T @ seen).toarray(), RIDGE), items, decay=1.0)


def recency_ease(sequences: Sequences, items: int) -> Scorer:
    """EASE of what is taken at about the same time; in a history, the last events weigh most.

    It is fitted on every window of `WINDOW` events in a row (those that a user's ends cut too) in
    place of a user's whole row, and a history's events weigh `DECAY`^j, j back from the end.
    """
    return _scorer(weights(window_gram(sequences, items, WINDOW), RIDGE), items, decay=DECAY)


def window_gram(sequences: Sequences, items: int, width: int) -> np.ndarray:
    """XᵀX / `width` of the matrix X with one row per window, float [N + 1, N + 1].

    Two events h apart are in `width` - h windows together.
    """
    gram = np.zeros((items + 1, items + 1))
    for h in range(1, width):
        gram += (follows(sequences, items, h) * (1 - h / width)).toarray()
    gram += gram.T.copy()
    gram[np.diag_indices(items + 1)] += training_counts(sequences, items)
    return gram


def weights(gram: np.ndarray, ridge: float) -> np.ndarray:
    """Of item a for item b, float32 [N + 1, N + 1], zero for itself; `gram` is overwritten.

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
