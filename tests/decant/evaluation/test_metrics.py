import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from decant.evaluation.metrics import (
    hit,
    mean_over_users,
    ndcg,
    quality,
    rank_targets,
    user_means,
)
from decant.runtime.ranking import top_items

C, N, K = 40, 25, 10


def cases(seed: int, *, ties: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores [C, N + 1], masked, and targets that are not masked."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(C, N + 1))
    scores = np.round(scores * 2) if ties else scores
    targets = rng.integers(1, N + 1, C)
    masked = rng.random((C, N + 1)) < 0.2
    masked[:, 0] = True
    masked[np.arange(C), targets] = False
    return scores, masked, targets


def naive_rank(scores: np.ndarray, masked: np.ndarray, target: int) -> int:
    """By sorting: what is masked goes, the target comes last among its equals."""
    left = [i for i in range(len(scores)) if not masked[i]]
    return sorted(left, key=lambda i: (-scores[i], i == target)).index(target) + 1


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), ties=st.booleans())
def test_ranks_are_those_of_a_naive_sort(seed: int, ties: bool) -> None:
    scores, masked, targets = cases(seed, ties=ties)
    naive = [naive_rank(*case) for case in zip(scores, masked, targets, strict=True)]
    assert rank_targets(scores, masked, targets).tolist() == naive


def test_ndcg_is_scikit_learns() -> None:
    scores, masked, targets = cases(1)
    result = ndcg(rank_targets(scores, masked, targets), K)
    relevant = np.eye(N + 1)[targets]
    for row in range(C):
        keep = ~masked[row]
        theirs = ndcg_score(relevant[row : row + 1, keep], scores[row : row + 1, keep], k=K)
        assert result[row] == pytest.approx(theirs, abs=1e-9)


def test_ties_count_against() -> None:
    scores = np.array([[9.0, 1.0, 1.0, 1.0, 0.0]])
    masked = np.array([[True, False, False, False, False]])
    for target in (1, 2, 3):
        assert rank_targets(scores, masked, np.array([target])).tolist() == [3]


def test_a_score_that_is_no_number_ranks_last() -> None:
    scores = np.array([[0.0, np.nan, -np.inf, 1.0], [0.0, 2.0, np.nan, 1.0]])
    masked = np.zeros((2, 4), dtype=bool)
    masked[:, 0] = True
    assert rank_targets(scores, masked, np.array([1, 1])).tolist() == [3, 1]
    assert top_items(scores, masked, 3).tolist() == [[3, 0, 0], [1, 3, 0]]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), ties=st.booleans(), k=st.integers(1, N))
def test_the_top_is_that_of_a_naive_sort(seed: int, ties: bool, k: int) -> None:
    scores, masked, _ = cases(seed, ties=ties)
    for row, top in enumerate(top_items(scores, masked, k)):
        left = [i for i in range(N + 1) if not masked[row, i]]
        naive = sorted(left, key=lambda i, row=row: (-scores[row, i], i))[:k]
        assert top.tolist() == naive + [0] * (k - len(naive))


def test_a_masked_item_is_never_recommended() -> None:
    scores, masked, _ = cases(2)
    scores[masked] = 99.0
    top = top_items(scores, masked, N)
    for row in range(C):
        assert not set(np.flatnonzero(masked[row])) & set(top[row][top[row] > 0].tolist())


def test_more_than_the_catalogue_is_the_catalogue() -> None:
    scores = np.array([[0.0, 3.0, 1.0, 2.0]])
    masked = np.array([[True, False, False, False]])
    assert top_items(scores, masked, 50).tolist() == [[1, 3, 2]]


@pytest.mark.parametrize(
    ("rank", "at_10"), [(1, 1.0), (2, 0.6309297535714575), (3, 0.5), (10, 0.2890648263), (11, 0)]
)
def test_ndcg_of_known_ranks(rank: int, at_10: float) -> None:
    assert ndcg(np.array([rank]), 10)[0] == pytest.approx(at_10)


def test_hits_are_ranks_within_k() -> None:
    assert hit(np.array([1, 10, 11]), 10).tolist() == [1, 1, 0]


def test_all_metrics_by_hand() -> None:
    ranks, users = np.array([1, 3, 1]), np.array([8, 8, 5])
    top = np.array([[1, 2], [1, 3], [1, 0]])
    count = np.array([0, 6.0, 3.0, 1.0, 0.0])
    result = quality(ranks, top, users, count, 2)
    assert result == {  # user 8 has 1 and 0, user 5 has 1
        "ndcg": pytest.approx(3 / 4),
        "hr": pytest.approx(3 / 4),
        "recall": pytest.approx(3 / 4),
        "precision": pytest.approx(3 / 8),
        "coverage": 3 / 4,
        "popularity": pytest.approx((0.6 * 3 + 0.3 + 0.1) / 5),
    }


def test_a_model_that_recommends_nothing_covers_nothing() -> None:
    result = quality(np.array([5]), np.zeros((1, 2), int), np.array([3]), np.array([0, 1.0]), 2)
    assert (result["coverage"], result["popularity"]) == (0, 0)


def test_a_mean_over_users_counts_each_user_once() -> None:
    assert mean_over_users(np.array([1.0, 0.0, 4.0]), np.array([7, 3, 7])) == 1.25
    assert mean_over_users(np.zeros(0), np.zeros(0, int)) == 0.0


def test_means_are_per_user() -> None:
    users, means = user_means(np.array([1.0, 0.0, 4.0]), np.array([7, 3, 7]))
    assert users.tolist() == [3, 7]
    assert means.tolist() == [0.0, 2.5]
