"""The protocol `next basket`, against definitions in plain Python."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import ndcg_score

from decant.evaluation.baskets import (
    METRICS,
    Baskets,
    basket_figures,
    basket_rows,
    basket_scores,
    next_baskets,
)
from decant.features.sequences import TEST, VALIDATION, Cases, Sequences

Make = Callable[..., Sequences]


@pytest.fixture
def shop(make_sequences: Make) -> Sequences:
    """Two users' baskets: {1 2} | {3 4} {5} | {6 1 7}, and {8} | | {9 2}."""
    return make_sequences(
        [[1, 2, 3, 4, 5, 6, 1, 7], [8, 9, 2]],
        baskets=[0, 0, 1, 1, 2, 3, 3, 3, 4, 5, 5],
        split=[[2, 5], [1, 1]],
    )


def test_every_basket_of_a_window_is_a_case_before_its_first_event(shop: Sequences) -> None:
    made = next_baskets(shop, TEST, 4)
    assert made.cases.user.tolist() == [0, 1]
    assert made.cases.position.tolist() == [5, 9]
    assert [made.items[made.rows == row].tolist() for row in range(2)] == [[1, 6, 7], [2, 9]]
    of_validation = next_baskets(shop, VALIDATION, 4)
    assert of_validation.cases.position.tolist() == [2, 4]
    assert next_baskets(shop, VALIDATION, 1).cases.position.tolist() == [2]


def test_what_may_not_be_predicted_is_no_part_of_a_basket(make_sequences: Make) -> None:
    sequences = make_sequences(
        [[1, 2, 3, 4]], baskets=[0, 1, 1, 2], split=[[1, 4]], target=[True, True, False, False]
    )
    made = next_baskets(sequences, VALIDATION, 4)
    assert (made.cases.position.tolist(), made.items.tolist()) == ([1], [2])


def test_a_first_basket_has_no_history_and_is_no_case(make_sequences: Make) -> None:
    sequences = make_sequences([[1, 2, 3]], baskets=[0, 0, 1], split=[[0, 3]])
    assert next_baskets(sequences, VALIDATION, 4).cases.position.tolist() == [2]


@pytest.mark.parametrize("seed", range(5))
def test_the_scores_are_those_of_an_independent_library(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, items, k = 20, 15, 10
    scores = rng.normal(size=(count, items + 1))
    scores[:, 0] = -np.inf
    relevant = rng.random((count, items + 1)) < 0.3
    relevant[:, 0] = False
    relevant[:, 1] = True
    rows, wanted = np.nonzero(relevant)
    top = np.argsort(-scores, axis=1)[:, :k]
    baskets = Baskets(Cases(np.arange(count), np.arange(count)), rows, wanted)
    ndcg, recall = basket_scores(top, baskets)
    expected = [ndcg_score(relevant[[n], 1:], scores[[n], 1:], k=k) for n in range(count)]
    np.testing.assert_allclose(ndcg, expected)
    hits = [len({*top[n]} & {*wanted[rows == n]}) / (rows == n).sum() for n in range(count)]
    np.testing.assert_allclose(recall, hits)


def test_places_without_an_item_are_no_hit() -> None:
    baskets = Baskets(Cases(np.array([0]), np.array([1])), np.array([0, 0]), np.array([3, 4]))
    ndcg, recall = basket_scores(np.array([[3, 0, 0]]), baskets)
    assert recall.tolist() == [0.5]
    assert ndcg[0] == pytest.approx(1 / (1 + 1 / np.log2(3)))


def test_figures_are_means_over_users_of_each_group() -> None:
    rows = pd.DataFrame({"user": [0, 0, 1], METRICS[0]: [1.0, 0.0, 0.2], METRICS[1]: [1.0, 1.0, 0]})
    figures = basket_figures(rows, {"all": np.array([0, 1]), "nobody": np.array([7])})
    assert figures == {"all": {METRICS[0]: pytest.approx(0.35), METRICS[1]: pytest.approx(0.5)}}


def test_a_basket_is_a_row(shop: Sequences) -> None:
    baskets = next_baskets(shop, TEST, 4)
    rows = basket_rows("m", TEST, baskets, np.array([[1, 6], [5, 9]]))
    assert rows["position"].tolist() == [5, 9]
    assert rows["basket_recall"].tolist() == [2 / 3, 1 / 2]
