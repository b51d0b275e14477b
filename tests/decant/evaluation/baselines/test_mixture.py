"""The mixture of counts: each part by hand, and weights that find the part that is right."""

from collections.abc import Callable

import numpy as np
import pytest

from decant.evaluation.baselines.mixture import (
    DAY,
    HALF_LIFE,
    PARTS,
    count,
    distributions,
    fit_mixture,
    fitted_weights,
    freshness,
    mixture,
)
from decant.features.sequences import VALIDATION, Cases, Sequences, cases

ITEMS = 9
Make = Callable[..., Sequences]


@pytest.fixture
def shop(make_sequences: Make) -> Sequences:
    """Two users' training baskets {1, 2}, {3} and {1, 4}, {3, 5}; the case is in a third one."""
    return make_sequences(
        [[1, 2, 3, 1, 6], [1, 4, 3, 5, 7]],
        baskets=[0, 0, 1, 2, 2, 3, 3, 4, 4, 5],
        split=[[3, 4], [4, 5]],
    )


def parts_of(sequences: Sequences, user: int, position: int) -> dict[str, np.ndarray]:
    case = Cases(np.array([user]), np.array([position]))
    each = distributions(count(sequences, ITEMS), sequences, case, ITEMS)
    return {name: part[0] for name, part in zip(PARTS, each, strict=True)}


def test_the_open_basket_is_completed_by_what_was_bought_with_it(shop: Sequences) -> None:
    parts = parts_of(shop, 0, 4)  # 1 is in the open basket
    expected = np.zeros(ITEMS + 1)
    expected[[2, 4]] = 1 / 2.5  # once each, of two baskets and half a pseudo-basket
    np.testing.assert_allclose(parts["basket"], expected)


def test_a_new_basket_follows_from_the_one_before(shop: Sequences) -> None:
    parts = parts_of(shop, 0, 3)  # after {1, 2}, {3}; nothing follows 3
    assert parts["previous"].sum() == 0 and parts["basket"].sum() == 0
    after = count(shop, ITEMS).previous.toarray()
    np.testing.assert_allclose(after[1], np.eye(ITEMS + 1)[[3, 3, 5]].T @ [1, 0.5, 0.5] / 2.5)


def test_repeats_are_what_was_bought_before_the_open_basket(shop: Sequences) -> None:
    parts = parts_of(shop, 0, 4)
    np.testing.assert_allclose(parts["frequency"][[1, 2, 3]], 1 / 3)
    weights = np.array([0.7**2, 0.7**2, 0.7])
    np.testing.assert_allclose(parts["recency"][[1, 2, 3]], weights / weights.sum())


def test_what_is_taken_together_counts_less_with_each_basket_back(shop: Sequences) -> None:
    table = count(shop, ITEMS).together.toarray()
    parts = parts_of(shop, 0, 4)  # {1, 2}, {3}, and 1 in the open one
    weights = np.array([0.95**2, 0.95**2, 0.95, 1])
    np.testing.assert_allclose(parts["together"], weights @ table[[1, 2, 3, 1]] / weights.sum())
    assert parts["together"].any()


def test_no_part_knows_more_than_everything(sequences: Sequences, held: Cases) -> None:
    counts = count(sequences, ITEMS)
    for part in distributions(counts, sequences, held, ITEMS):
        assert (part >= 0).all() and (part.sum(axis=1) <= 1 + 1e-9).all()
    assert counts.popularity.sum() == pytest.approx(1)


def test_an_event_counts_half_after_each_half_life() -> None:
    times = DAY * np.array([0.0, 10.0, 20.0])
    assert freshness(times, 10.0).tolist() == [0.25, 0.5, 1.0]
    assert freshness(times, None).tolist() == [1.0, 1.0, 1.0]


def test_the_weights_find_the_part_that_is_right(make_sequences: Make) -> None:
    """Everybody walks around a circle, so that the chain knows what follows."""
    walks = [[1 + (start + step) % ITEMS for step in range(9)] for start in range(ITEMS)]
    sequences = make_sequences(walks)
    chosen = cases(sequences, VALIDATION, 1)
    counts, weights = fit_mixture(sequences, chosen, ITEMS)
    assert weights["previous"] + weights["chain"] > 0.9
    assert counts.half_life is None  # nine seconds
    scores = mixture(counts, weights, ITEMS)(sequences, chosen)
    assert scores[:, 1:].argmax(axis=1).tolist() == [
        i - 1 for i in sequences.items[chosen.position]
    ]


def test_no_other_weights_are_more_likely(sequences: Sequences) -> None:
    chosen = cases(sequences, VALIDATION, 9)
    counts = count(sequences, ITEMS)
    best, weights = fitted_weights(counts, sequences, chosen, ITEMS)
    assert sum(weights.values()) == pytest.approx(1)
    parts = np.array([list(distributions(counts, sequences, chosen.take(np.array([row])), ITEMS))
                      for row in range(len(chosen))])[:, :, 0]  # fmt: skip
    likely = parts[np.arange(len(chosen)), :, sequences.items[chosen.position]]
    rng = np.random.default_rng(0)
    for other in rng.dirichlet(np.ones(len(PARTS)), 200):
        assert np.log(likely @ other + 1e-12).mean() <= best + 1e-4


def test_what_is_over_fades(make_sequences: Make) -> None:
    """After item 1 came 2, years ago; now comes 3."""
    users = [[1, 2] * 5 + [1, 3] * 4 + [1, 3, 1, 3]]
    sequences = make_sequences(users)
    times = np.r_[np.zeros(10), np.full(12, 10 * HALF_LIFE * DAY)] + np.arange(22)
    object.__setattr__(sequences, "times", times)
    case = cases(sequences, VALIDATION, 9)
    new, old = (count(sequences, ITEMS, h).chain.toarray()[1] for h in (HALF_LIFE, None))
    assert new[3] > 100 * new[2] and old[3] < 2 * old[2]
    assert len(case) == 1
