"""Top-k selection."""

import numpy as np


def top_items(scores: np.ndarray, masked: np.ndarray, k: int) -> np.ndarray:
    """The k best items of each case, int32 [C, k], best first, lower index first at equal scores.

    Padded with 0 if there are fewer than k candidates.
    """
    candidates = np.where(masked | np.isnan(scores), -np.inf, scores)
    k = min(k, candidates.shape[1] - 1)
    # ties at the k-th best must be broken by index, so everything that reaches it is sorted
    edge = -np.partition(-candidates, k - 1, axis=1)[:, k - 1]
    top = np.zeros((len(candidates), k), dtype=np.int32)
    for row, (values, threshold) in enumerate(zip(candidates, edge, strict=True)):
        reach = np.flatnonzero((values >= threshold) & np.isfinite(values))
        best = reach[np.argsort(-values[reach], kind="stable")[:k]]
        top[row, : len(best)] = best
    return top
