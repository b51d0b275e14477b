"""Matrix factorisation by the `implicit` library, on one thread to be reproducible."""

import threading

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from decant.evaluation.baselines.counts import histories, user_items
from decant.evaluation.scoring import Scorer
from decant.features.sequences import Cases, Sequences

FACTORS = 64
SEED = 0
IALS_RIDGE = 1.0  # better on MovieLens-1M's validation than 10 or 30 with heavier positives
IALS_ROUNDS = 15
BPR_ROUNDS = 20  # neither 60 nor half the rate is better on MovieLens-1M's validation
BPR_RATE = 0.05
BPR_RIDGE = 0.01
MAP_RIDGE = 1e-3  # keeps the map defined with fewer users than factors

IMPORTING = threading.Lock()  # two threads importing parts of `implicit` can deadlock


def ials(sequences: Sequences, items: int) -> Scorer:
    """Weighted least squares of users' and items' factors (Hu, Koren & Volinsky 2008).

    A user's factors are solved again for each history.
    """
    with IMPORTING:
        from implicit.cpu.als import AlternatingLeastSquares

    with threadpool_limits(1, user_api="blas"):  # the library warns otherwise
        model = AlternatingLeastSquares(
            factors=FACTORS,
            regularization=IALS_RIDGE,
            iterations=IALS_ROUNDS,
            num_threads=1,
            random_state=SEED,
        )
        model.fit(_matrix(user_items(sequences, items)), show_progress=False)

    def score(sequences: Sequences, chosen: Cases) -> np.ndarray:
        seen = histories(sequences, chosen, items)
        seen.data[:] = 1
        users = model.recalculate_user(np.arange(len(chosen)), _matrix(seen))
        return np.asarray(users @ model.item_factors.T)

    return score


def bpr(sequences: Sequences, items: int) -> Scorer:
    """Factors that rank taken items above others (Rendle et al. 2009).

    A user's factors are a linear map, fitted to those of training users, of the mean factors of the
    history's items: this follows the current history and also serves new users.
    """
    with IMPORTING:
        from implicit.cpu.bpr import BayesianPersonalizedRanking

    model = BayesianPersonalizedRanking(
        factors=FACTORS,
        learning_rate=BPR_RATE,
        regularization=BPR_RIDGE,
        iterations=BPR_ROUNDS,
        num_threads=1,
        random_state=SEED,
    )
    seen = user_items(sequences, items)
    model.fit(_matrix(seen), show_progress=False)
    known = np.diff(seen.indptr) > 0
    means = _means(seen, model.item_factors)[known]
    gram = means.T @ means + MAP_RIDGE * np.eye(means.shape[1])
    to_user = np.linalg.solve(gram, means.T @ model.user_factors[known])

    def score(sequences: Sequences, chosen: Cases) -> np.ndarray:
        taken = histories(sequences, chosen, items)
        taken.data[:] = 1
        return np.asarray(_means(taken, model.item_factors) @ to_user @ model.item_factors.T)

    return score


def _means(taken: sparse.csr_array, factors: np.ndarray) -> np.ndarray:
    """Mean factors of the items of each row, and a 1: float [rows, F + 1]; zeros without items."""
    count = np.asarray(taken.sum(axis=1)).ravel()[:, None]
    return np.hstack([taken @ factors.astype(np.float64), count]) / np.maximum(count, 1)


def _matrix(table: sparse.csr_array) -> sparse.csr_matrix:
    return sparse.csr_matrix(table.astype(np.float32))
