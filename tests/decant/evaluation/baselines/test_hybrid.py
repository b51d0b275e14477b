"""The mixture of two models."""

from collections.abc import Callable

import numpy as np
import pytest

from decant.evaluation.baselines.hybrid import WEIGHTS, best_two, best_weight, mix, standardised
from decant.evaluation.metrics import ndcg
from decant.evaluation.scoring import rank
from decant.features.sequences import VALIDATION, Cases, Sequences, cases

ITEMS = 30


def noisy(seed: int, share: float) -> Callable[[Sequences, Cases], np.ndarray]:
    """A scorer that points at the target of each case through noise."""

    def score(sequences: Sequences, chosen: Cases) -> np.ndarray:
        rows = [np.random.default_rng([seed, p]).normal(size=ITEMS + 1) for p in chosen.position]
        scores = 100 * np.array(rows)
        scores[np.arange(len(chosen)), sequences.items[chosen.position]] += 100 * share
        return scores

    return score


@pytest.fixture
def walks(make_sequences: Callable[..., Sequences]) -> Sequences:
    rng = np.random.default_rng(0)
    return make_sequences([rng.permutation(ITEMS)[:6] + 1 for _ in range(300)])


def test_scores_are_standardised_for_each_case() -> None:
    scores = np.array([[7.0, 1.0, 2.0, 3.0], [0.0, -5.0, -5.0, -5.0]])
    result = standardised(scores)
    assert result[0].tolist() == pytest.approx([0, -np.sqrt(1.5), 0, np.sqrt(1.5)])
    assert result[1].tolist() == [0] * 4


def test_a_scale_of_one_model_does_not_matter(walks: Sequences) -> None:
    chosen = cases(walks, VALIDATION, 1)
    a, b = noisy(1, 1.0), noisy(2, 1.0)
    larger = lambda s, c: 1000 * a(s, c) + 3  # noqa: E731
    np.testing.assert_allclose(mix(a, b, 0.3)(walks, chosen), mix(larger, b, 0.3)(walks, chosen))
    np.testing.assert_allclose(mix(a, b, 1.0)(walks, chosen), standardised(a(walks, chosen)))


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_the_weight_is_the_best_of_the_grid(walks: Sequences, exclude_seen: bool) -> None:
    chosen = cases(walks, VALIDATION, 1)
    a, b = noisy(1, 2.0), noisy(2, 1.0)
    reached = {}
    for weight in WEIGHTS:
        ranking = rank(mix(a, b, weight), walks, chosen, ITEMS, k=10, exclude_seen=exclude_seen)
        reached[weight] = ndcg(ranking.ranks, 10).mean()
    result = best_weight(a, b, walks, chosen, ITEMS, k=10, exclude_seen=exclude_seen)
    assert reached[result] == pytest.approx(max(reached.values()))
    assert result > 0.5  # the better model counts for more
    alone = rank(a, walks, chosen, ITEMS, k=10, exclude_seen=exclude_seen)
    assert reached[result] > ndcg(alone.ranks, 10).mean()


def test_the_two_are_the_best_of_different_kinds() -> None:
    kinds = {"a": "x", "b": "x", "c": "y", "d": "z"}
    assert best_two({"a": 0.4, "b": 0.5, "c": 0.1, "d": 0.3}, kinds) == ("b", "d")
    assert best_two({"a": 0.1, "b": 0.1, "c": 0.1, "d": 0.1}, kinds) == ("a", "c")
    assert best_two({"a": 0.4, "b": 0.5}, kinds) is None
