"""The two factorisations against the library's own recommendations, and normal equations."""

import numpy as np
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from scipy import sparse
from threadpoolctl import threadpool_limits

from decant.evaluation.baselines.factors import (
    BPR_RATE,
    BPR_RIDGE,
    BPR_ROUNDS,
    FACTORS,
    IALS_RIDGE,
    IALS_ROUNDS,
    SEED,
    bpr,
    ials,
)
from decant.features.sequences import TEST, VALIDATION, Cases, Sequences, cases

ITEMS = 20


@pytest.fixture
def matrix(checkerboard: Sequences) -> sparse.csr_matrix:
    """Users' training items."""
    table = np.zeros((checkerboard.users, ITEMS + 1), np.float32)
    for user, (start, count) in enumerate(
        zip(checkerboard.offsets[:-1], checkerboard.split[:, 0], strict=True)
    ):
        table[user, checkerboard.items[start : start + count]] = 1
    return sparse.csr_matrix(table)


@pytest.fixture
def held(checkerboard: Sequences) -> Cases:
    """At validation a history is what training knows."""
    return cases(checkerboard, VALIDATION, 1)


def test_ials_recommends_what_the_library_does(
    checkerboard: Sequences, matrix: sparse.csr_matrix, held: Cases
) -> None:
    with threadpool_limits(1, user_api="blas"):
        model = AlternatingLeastSquares(
            factors=FACTORS,
            regularization=IALS_RIDGE,
            iterations=IALS_ROUNDS,
            random_state=SEED,
            num_threads=1,
        )
        model.fit(matrix, show_progress=False)
    ids, theirs = model.recommend(
        held.user, matrix, N=ITEMS, filter_already_liked_items=False, recalculate_user=True
    )
    found = ials(checkerboard, ITEMS)(checkerboard, held)
    np.testing.assert_allclose(np.take_along_axis(found, ids, 1), theirs, atol=1e-4)


def test_ials_solves_a_users_factors_for_the_history_at_hand(
    checkerboard: Sequences, matrix: sparse.csr_matrix
) -> None:
    """Half a row of the board: the normal equations of just that, solved densely."""
    with threadpool_limits(1, user_api="blas"):
        model = AlternatingLeastSquares(
            factors=FACTORS,
            regularization=IALS_RIDGE,
            iterations=IALS_ROUNDS,
            random_state=SEED,
            num_threads=1,
        )
        model.fit(matrix, show_progress=False)
    start = int(checkerboard.offsets[3])
    case = Cases(np.array([3]), np.array([start + 4]))
    items = model.item_factors.astype(np.float64)
    liked = items[checkerboard.items[start : start + 4]]
    # unseen and seen items weigh the same at alpha 1; only what was seen is wanted at 1
    user = np.linalg.solve(items.T @ items + IALS_RIDGE * np.eye(FACTORS), liked.sum(axis=0))
    found = ials(checkerboard, ITEMS)(checkerboard, case)[0]
    np.testing.assert_allclose(found, items @ user, atol=1e-3)


def test_bpr_recommends_what_the_library_does(
    checkerboard: Sequences, matrix: sparse.csr_matrix, held: Cases
) -> None:
    model = BayesianPersonalizedRanking(
        factors=FACTORS,
        learning_rate=BPR_RATE,
        regularization=BPR_RIDGE,
        iterations=BPR_ROUNDS,
        random_state=SEED,
        num_threads=1,
    )
    model.fit(matrix, show_progress=False)
    ids, theirs = model.recommend(held.user, matrix, N=ITEMS, filter_already_liked_items=False)
    found = bpr(checkerboard, ITEMS)(checkerboard, held)
    np.testing.assert_allclose(np.take_along_axis(found, ids, 1), theirs, atol=1e-4)


def test_who_was_not_in_training_is_given_what_everybody_likes(checkerboard: Sequences) -> None:
    """The new users' first events are their validation and test."""
    items = np.r_[checkerboard.items, [1, 2, 3, 4, 5, 6]].astype(np.int32)
    offsets = np.r_[checkerboard.offsets, len(items) - 3, len(items)]
    split = np.r_[checkerboard.split, [[0, 2], [0, 2]]]
    ones = np.ones(len(items), np.int8)
    grown = Sequences(
        offsets, items, ones, ones, ones, ones.astype(float), ones.astype(bool),
        np.zeros((len(offsets) - 1, 0), np.int16), split,
    )  # fmt: skip
    new = cases(grown, TEST, 1).take(np.array([-2, -1]))
    first, second = bpr(grown, ITEMS)(grown, new)
    assert first.tolist() == second.tolist()
    assert np.ptp(first[1:]) > 0
