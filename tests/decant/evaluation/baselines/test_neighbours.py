"""Popularity and neighbours, against their formulas in plain Python."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from scipy import sparse

from decant.evaluation.baselines import neighbours
from decant.evaluation.baselines.neighbours import content_knn, item_knn, nearest, popularity
from decant.features.sequences import Cases, Sequences

Naive = Callable[[Callable[[list[int], int], float]], np.ndarray]


def cosines(seen: np.ndarray) -> np.ndarray:
    """Of the items, from users' rows of unit length; 0 for an item with itself."""
    rows = seen / np.maximum(np.linalg.norm(seen, axis=1, keepdims=True), 1e-12)
    columns = rows / np.maximum(np.linalg.norm(rows, axis=0), 1e-12)
    result = columns.T @ columns
    np.fill_diagonal(result, 0)
    return result


def test_popularity_is_the_count_in_training(
    sequences: Sequences, held: Cases, training: list[list[int]], naive: Naive, items: int
) -> None:
    counted = Counter(item for user in training for item in user)
    result = popularity(sequences, items)(sequences, held)
    assert result[:, 1:].tolist() == naive(lambda _, b: counted[b]).tolist()


def test_item_knn_sums_the_cosines_of_the_items_users(
    sequences: Sequences, held: Cases, seen: np.ndarray, naive: Naive, items: int
) -> None:
    near = cosines(seen)  # all items are neighbours: there are fewer than NEIGHBOURS
    expected = naive(lambda past, b: sum(near[a, b] for a in past))
    result = item_knn(sequences, items)(sequences, held)
    np.testing.assert_allclose(result[:, 1:], expected, atol=1e-12)


def test_only_the_nearest_of_each_candidate_count(
    sequences: Sequences,
    held: Cases,
    seen: np.ndarray,
    naive: Naive,
    items: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(neighbours, "NEIGHBOURS", 2)
    near = cosines(seen)
    edge = np.sort(near, axis=1)[:, -2]

    def score(past: list[int], b: int) -> float:
        return sum(near[b, a] for a in past if near[b, a] > edge[b] + 1e-9)

    at_least = naive(score)  # without what ties at the edge
    result = item_knn(sequences, items)(sequences, held)[:, 1:]
    full = naive(lambda past, b: sum(near[b, a] for a in past if near[b, a] > edge[b] - 1e-9))
    assert (result >= at_least - 1e-9).all() and (result <= full + 1e-9).all()
    everything = naive(lambda past, b: sum(near[b, a] for a in past))
    assert (result < everything - 1e-9).any()


@pytest.mark.parametrize("rows", [1, 2, 256])
def test_the_nearest_are_the_largest_products_and_the_earlier_of_equals(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(neighbours, "ROWS", rows)
    columns = sparse.csc_array(np.array([[1.0, 2.0, 3.0, 0.0], [0.0, 4.0, 0.0, 4.0]]))
    assert nearest(columns, 1).toarray().tolist() == [
        [0, 0, 3, 0],
        [0, 0, 0, 16],
        [0, 6, 0, 0],
        [0, 16, 0, 0],
    ]
    tied = sparse.csc_array(np.ones((1, 3)))
    assert nearest(tied, 1).toarray().tolist() == [[0, 1, 0], [1, 0, 0], [1, 0, 0]]
    assert nearest(tied, 5).toarray().tolist() == (1 - np.eye(3)).tolist()


def test_content_is_the_product_with_a_fading_profile(
    sequences: Sequences, held: Cases, naive: Naive, items: int
) -> None:
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(items + 1, 4)).astype(np.float32)
    vectors[0] = 0

    def score(past: list[int], b: int) -> float:
        profile = sum(0.7**j * vectors[a] for j, a in enumerate(reversed(past)))
        return float(profile @ vectors[b])

    result = content_knn(vectors)(sequences, items)(sequences, held)
    np.testing.assert_allclose(result[:, 1:], naive(score), atol=1e-5)


def test_items_without_content_come_by_popularity(
    make_sequences: Callable[..., Sequences],
) -> None:
    sequences = make_sequences([[1, 2, 9, 9], [3, 3, 9, 9], [3, 4, 9, 9]])
    vectors = np.zeros((10, 2))
    vectors[[1, 5]] = 1, 0
    case = Cases(np.array([0]), np.array([1]))
    result = content_knn(vectors)(sequences, 9)(sequences, case)[0]
    assert result[5] > result[3] > result[4] > result[6] == 0
