"""The two factorisations against the library's own recommendations, and normal equations."""

import numpy as np
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from scipy import sparse
from threadpoolctl import threadpool_limits

from decant.evaluation.baselines import factors
from decant.evaluation.baselines.factors import (
    BPR_RATE,
    BPR_RIDGE,
    BPR_ROUNDS,
    FACTORS,
    IALS_RIDGE,
    IALS_ROUNDS,
    MAP_RIDGE,
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
    result = ials(checkerboard, ITEMS)(checkerboard, held)
    np.testing.assert_allclose(np.take_along_axis(result, ids, 1), theirs, atol=1e-4)


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
    result = ials(checkerboard, ITEMS)(checkerboard, case)[0]
    np.testing.assert_allclose(result, items @ user, atol=1e-3)


def test_bpr_scores_by_the_librarys_factors_mapped_from_the_history(
    checkerboard: Sequences, matrix: sparse.csr_matrix, held: Cases
) -> None:
    """The map is the ridge regression of users' factors on their items' means, solved densely."""
    model = BayesianPersonalizedRanking(
        factors=FACTORS,
        learning_rate=BPR_RATE,
        regularization=BPR_RIDGE,
        iterations=BPR_ROUNDS,
        random_state=SEED,
        num_threads=1,
    )
    model.fit(matrix, show_progress=False)
    vectors = model.item_factors.astype(np.float64)
    rows = [vectors[matrix[user].indices].mean(axis=0) for user in range(matrix.shape[0])]
    means = np.c_[np.array(rows), np.ones(len(rows))]
    width = means.shape[1]
    to_user = np.linalg.lstsq(
        np.r_[means, np.sqrt(MAP_RIDGE) * np.eye(width)],
        np.r_[model.user_factors, np.zeros((width, vectors.shape[1]))],
        rcond=None,
    )[0]
    expected = means[held.user] @ to_user @ vectors.T
    result = bpr(checkerboard, ITEMS)(checkerboard, held)
    np.testing.assert_allclose(result, expected, atol=1e-4)
    ids, _ = model.recommend(held.user, matrix, N=1, filter_already_liked_items=False)
    assert (result[:, 1:].argmax(axis=1) + 1 == ids[:, 0]).mean() > 0.5


def test_who_was_not_in_training_is_scored_by_the_history(
    checkerboard: Sequences, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two new users whose events are all held out: one took odd items, the other even ones."""
    monkeypatch.setattr(factors, "BPR_ROUNDS", 1000)
    new = np.array([1, 3, 5, 7, 2, 4, 6, 8], np.int32)
    items = np.r_[checkerboard.items, new]
    offsets = np.r_[checkerboard.offsets, len(items) - 4, len(items)]
    split = np.r_[checkerboard.split, [[0, 3], [0, 3]]]
    ones = np.ones(len(items), np.int8)
    grown = Sequences(
        offsets, items, ones, ones, ones, ones.astype(float), ones.astype(bool),
        np.zeros((len(offsets) - 1, 0), np.int16), split, np.arange(len(items)),
    )  # fmt: skip
    odd, even = bpr(grown, ITEMS)(grown, cases(grown, TEST, 1).take(np.array([-2, -1])))
    assert odd[1::2].mean() > odd[2::2].mean() + 2
    assert even[2::2].mean() > even[1::2].mean() + 2
