"""Matrix factorisation by the `implicit` library, on one thread so that a seed decides all."""

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
BPR_ROUNDS = 20  # 60 are no better on MovieLens-1M's validation, nor is half of the rate
BPR_RATE = 0.05
BPR_RIDGE = 0.01


def ials(sequences: Sequences, items: int) -> Scorer:
    """Weighted least squares of users' and items' factors (Hu, Koren & Volinsky 2008).

    A user's factors are solved anew for each history.
    """
    from implicit.cpu.als import AlternatingLeastSquares

    with threadpool_limits(1, user_api="blas"):  # the library warns of more
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
    """Factors that put what was taken above what was not (Rendle et al. 2009).

    A user's factors are those of training, whatever came later; who was not in training is given
    the items' biases alone.
    """
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    model = BayesianPersonalizedRanking(
        factors=FACTORS,
        learning_rate=BPR_RATE,
        regularization=BPR_RIDGE,
        iterations=BPR_ROUNDS,
        num_threads=1,
        random_state=SEED,
    )
    model.fit(_matrix(user_items(sequences, items)), show_progress=False)
    users, columns = model.user_factors, model.item_factors.T
    return lambda sequences, chosen: users[chosen.user] @ columns


def _matrix(table: sparse.csr_array) -> sparse.csr_matrix:
    return sparse.csr_matrix(table.astype(np.float32))
