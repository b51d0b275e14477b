"""EASE against its optimality conditions and dense NumPy."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from decant.evaluation.baselines import linear
from decant.evaluation.baselines.linear import (
    WINDOW,
    ease,
    recency_ease,
    together,
    weights,
    window_gram,
)
from decant.features.sequences import Cases, Sequences, training_counts


def dense(data: np.ndarray, ridge: float) -> np.ndarray:
    """The weights, column by column: a ridge regression of each item on the others."""
    n = data.shape[1]
    table = np.zeros((n, n))
    for b in range(n):
        others = [a for a in range(n) if a != b]
        x = data[:, others]
        table[others, b] = np.linalg.solve(x.T @ x + ridge * np.eye(n - 1), x.T @ data[:, b])
    return table


def fading(pasts: list[list[int]], items: int, decay: float) -> np.ndarray:
    rows = np.zeros((len(pasts), items + 1))
    for row, past in zip(rows, pasts, strict=True):
        for j, item in enumerate(reversed(past)):
            row[item] += decay**j
    return rows


def windows(training: list[list[int]], items: int, width: int) -> np.ndarray:
    """Every window of `width` events, those that a user's ends cut too: counts, [W, N + 1]."""
    rows = []
    for taken in training:
        for end in range(1, len(taken) + width):
            inside = taken[max(end - width, 0) : end]
            rows.append(np.bincount(inside, minlength=items + 1))
    return np.array(rows, dtype=np.float64)


@pytest.fixture
def ridge(monkeypatch: pytest.MonkeyPatch) -> float:
    """Small enough that weights matter on a small log."""
    monkeypatch.setattr(linear, "RIDGE", 0.5)
    return 0.5


def test_ease_is_a_ridge_regression_of_each_item_on_the_others(
    sequences: Sequences,
    held: Cases,
    seen: np.ndarray,
    pasts: list[list[int]],
    items: int,
    ridge: float,
) -> None:
    expected = fading(pasts, items, 1.0) @ dense(seen, ridge)
    result = ease(sequences, items)(sequences, held)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_with_recency_it_is_fitted_on_windows_and_scored_on_fading_histories(
    sequences: Sequences,
    held: Cases,
    training: list[list[int]],
    pasts: list[list[int]],
    items: int,
    ridge: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(linear, "WINDOW", 4)
    data = windows(training, items, 4) / 2  # the Gram matrix is divided by the width
    expected = fading(pasts, items, linear.DECAY) @ dense(data, ridge)
    result = recency_ease(sequences, items)(sequences, held)
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("width", [1, 3, 30])
def test_the_gram_matrix_is_that_of_the_windows(
    sequences: Sequences, training: list[list[int]], items: int, width: int
) -> None:
    rows = windows(training, items, width)
    np.testing.assert_allclose(
        window_gram(sequences, items, width), rows.T @ rows / width, atol=1e-9
    )


def test_no_item_has_a_say_about_itself() -> None:
    data = np.random.default_rng(0).random((20, 6))
    result = weights(data.T @ data, 2.0)
    assert result.diagonal().tolist() == [0] * 6
    np.testing.assert_allclose(result, dense(data, 2.0), atol=1e-5)


def test_the_last_events_decide_where_recency_counts(
    make_sequences: Callable[..., Sequences],
) -> None:
    """1 goes with 2, and 3 with 4; a history that ends with 3 asks for 4."""
    walks = [[1, 2, 9, 9], [3, 4, 9, 9]] * 8
    sequences = make_sequences([*walks, [1, 3, 9]])
    case = Cases(np.array([16]), np.array([16 * 4 + 2]))
    plain, recent = (fit(sequences, 9)(sequences, case)[0] for fit in (ease, recency_ease))
    assert plain[4] / plain[2] == pytest.approx(1, abs=0.1)
    assert recent[4] / recent[2] > 1.3


def test_what_is_taken_together_are_the_positive_weights_as_shares(
    sequences: Sequences, items: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "TOGETHER_RIDGE", 0.5)
    expected = np.maximum(weights(window_gram(sequences, items, WINDOW), 0.5), 0)
    table = together(sequences, items).toarray()
    np.testing.assert_allclose(table, expected / expected.sum(axis=1).max(), atol=1e-6)
    assert table.any() and not table[0].any() and not table[:, 0].any()


def test_only_the_largest_weights_of_each_item_are_kept(
    sequences: Sequences, items: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = together(sequences, items).toarray()
    monkeypatch.setattr(linear, "KEPT", 2)
    table = together(sequences, items).toarray()
    assert (whole > 0).sum(axis=1).max() > 2
    for kept, row in zip(table, whole, strict=True):
        assert {*np.flatnonzero(kept)} == {*np.argsort(-row)[: min(2, (row > 0).sum())]}


def test_in_a_large_catalogue_only_frequent_items_are_taken_together(
    sequences: Sequences, items: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "TOGETHER_RIDGE", 0.5)
    monkeypatch.setattr(linear, "MOST_TOGETHER", 4)
    counts = training_counts(sequences, items)
    frequent = np.sort(np.argsort(-counts, kind="stable")[:4])
    gram = window_gram(sequences, items, WINDOW)[frequent][:, frequent]
    expected = np.maximum(weights(gram, 0.5), 0)
    table = together(sequences, items).toarray()
    inside = table[frequent][:, frequent]
    np.testing.assert_allclose(inside, expected / expected.sum(axis=1).max(), atol=1e-6)
    assert inside.any() and np.count_nonzero(inside) == np.count_nonzero(table)


def test_without_events_nothing_is_taken_together(sequences: Sequences, items: int) -> None:
    empty = replace(sequences, split=np.zeros_like(sequences.split))
    assert not together(empty, items).toarray().any()
