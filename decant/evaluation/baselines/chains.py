"""Markov chains: the items that follow the last ones of the history."""

from collections.abc import Callable

import numpy as np
from scipy import sparse

from decant.evaluation.baselines.counts import follows, histories
from decant.evaluation.scoring import Scorer
from decant.features.sequences import Cases, Sequences, training_counts


def markov(
    *, steps: int, step_decay: float, back: int, back_decay: float, shrink: float, damp: float
) -> Callable[[Sequences, int], Scorer]:
    """A Markov chain of item transitions over a window.

    T[a, b] sums `step_decay`^(h-1) over every b that follows an a by h ≤ `steps`; the score of b
    sums `back_decay`^j · T[a, b] / (Σ T[a, ·] + `shrink`) / (count of b + 20)^`damp` over the
    last `back` items a, j back from the end.
    """

    def fit(sequences: Sequences, items: int) -> Scorer:
        moves = sum(
            (follows(sequences, items, h) * step_decay ** (h - 1) for h in range(1, steps + 1)),
            start=sparse.csr_array((items + 1, items + 1)),
        )
        total = np.asarray(moves.sum(axis=1)).ravel()
        count = training_counts(sequences, items)
        shares = sparse.diags_array(1 / (total + shrink)) @ moves
        weights = sparse.csr_array(shares @ sparse.diags_array((count + 20) ** -damp))
        popular = 1e-9 * count / count.sum()  # orders items without transitions

        def score(sequences: Sequences, chosen: Cases) -> np.ndarray:
            recent = histories(sequences, chosen, items, decay=back_decay, back=back)
            return np.asarray((recent @ weights).toarray() + popular)

        return score

    return fit
