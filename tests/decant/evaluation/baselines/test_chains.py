"""Chains against their formulas in plain Python."""

from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from decant.evaluation.baselines import BASELINES, markov
from decant.features.sequences import Cases, Sequences

ITEMS = 9
Naive = Callable[[Callable[[list[int], int], float]], np.ndarray]


def test_the_first_order_chain_counts_what_follows_the_last_item(
    sequences: Sequences, held: Cases, training: list[list[int]], naive: Naive
) -> None:
    follows: Counter[tuple[int, int]] = Counter()
    for items in training:
        follows.update(pairwise(items))
    leaving = Counter(a for a, _ in follows.elements())
    expected = naive(lambda past, b: follows[past[-1], b] / (leaving[past[-1]] + 20))
    result = BASELINES["markov"](sequences, ITEMS)(sequences, held)
    np.testing.assert_allclose(result[:, 1:], expected, atol=1e-8)  # popularity orders the rest


def test_the_windowed_chain_is_its_formula(
    sequences: Sequences, held: Cases, training: list[list[int]], naive: Naive
) -> None:
    moves: defaultdict[tuple[int, int], float] = defaultdict(float)
    for items in training:
        for i, a in enumerate(items):
            for h in range(1, 11):
                if i + h < len(items):
                    moves[a, items[i + h]] += 0.85 ** (h - 1)
    leaving: defaultdict[int, float] = defaultdict(float)
    for (a, _), weight in moves.items():
        leaving[a] += weight
    count = Counter(item for user in training for item in user)

    def score(past: list[int], b: int) -> float:
        recent = past[::-1][:10]
        return sum(
            0.7**j * moves[a, b] / (leaving[a] + 20) / (count[b] + 20) ** 0.1
            for j, a in enumerate(recent)
        )

    result = BASELINES["windowed_markov"](sequences, ITEMS)(sequences, held)
    np.testing.assert_allclose(result[:, 1:], naive(score), atol=1e-8)


def test_what_no_transition_reaches_is_ordered_by_popularity(
    make_sequences: Callable[..., Sequences],
) -> None:
    sequences = make_sequences([[1, 2, 9, 9], [3, 3, 9, 9], [3, 4, 9, 9]])
    case = Cases(np.array([0]), np.array([1]))
    result = BASELINES["markov"](sequences, ITEMS)(sequences, case)[0]
    assert result.argmax() == 2
    assert result[3] > result[4] > result[5] == 0


def test_a_chain_looks_no_further_back_than_it_should(
    make_sequences: Callable[..., Sequences],
) -> None:
    sequences = make_sequences([[1, 2, 9, 9]])
    near = markov(steps=1, step_decay=1, back=1, back_decay=1, shrink=1, damp=0)
    case = Cases(np.array([0]), np.array([3]))  # after 1, 2, 9
    assert near(sequences, 9)(sequences, case)[0, 2] < 1e-6
    far = markov(steps=1, step_decay=1, back=3, back_decay=0.5, shrink=1, damp=0)
    assert far(sequences, 9)(sequences, case)[0, 2] == pytest.approx(0.25 * 1 / 2, abs=1e-6)
