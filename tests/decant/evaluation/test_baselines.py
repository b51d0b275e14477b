from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import pairwise
from math import sqrt

import numpy as np
import pytest

from decant.evaluation.baselines import (
    BASELINES,
    item_knn,
    markov,
    popularity,
    training_counts,
    training_events,
)
from decant.features.sequences import TEST, Cases, Sequences, cases

ITEMS = 9


@pytest.fixture(params=range(4))
def sequences(
    request: pytest.FixtureRequest, make_sequences: Callable[..., Sequences]
) -> Sequences:
    """Random users; some items come again and again."""
    rng = np.random.default_rng(request.param)
    return make_sequences([rng.integers(1, ITEMS + 1, n).tolist() for n in (14, 3, 6, 20, 2, 9)])


@pytest.fixture
def held(sequences: Sequences) -> Cases:
    return cases(sequences, TEST, 4)


def training(sequences: Sequences) -> list[list[int]]:
    """Each user's training items."""
    pairs = zip(sequences.offsets[:-1], sequences.split[:, 0], strict=True)
    return [sequences.items[start : start + count].tolist() for start, count in pairs]


def history(sequences: Sequences, user: int, position: int) -> list[int]:
    return sequences.items[sequences.offsets[user] : position].tolist()


def naive(
    sequences: Sequences, held: Cases, score: Callable[[list[int], int], float]
) -> np.ndarray:
    """score(history, item) of every case and item, [C, N]."""
    pairs = zip(held.user, held.position, strict=True)
    pasts = [history(sequences, int(user), int(position)) for user, position in pairs]
    return np.array([[score(past, item) for item in range(1, ITEMS + 1)] for past in pasts])


def test_only_training_events_count(sequences: Sequences) -> None:
    taken = [item for user in training(sequences) for item in user]
    assert sequences.items[training_events(sequences)].tolist() == taken
    counted = Counter(taken)
    expected = [counted[item] for item in range(ITEMS + 1)]
    assert training_counts(sequences, ITEMS).tolist() == expected


def test_popularity_is_the_count_in_training(sequences: Sequences, held: Cases) -> None:
    counted = Counter(item for user in training(sequences) for item in user)
    found = popularity(sequences, ITEMS)(sequences, held)
    assert found[:, 1:].tolist() == naive(sequences, held, lambda _, b: counted[b]).tolist()


def test_item_knn_is_the_cosine_of_the_items_users(sequences: Sequences, held: Cases) -> None:
    fans = defaultdict(set)
    for user, items in enumerate(training(sequences)):
        for item in items:
            fans[item].add(user)

    def score(past: list[int], b: int) -> float:
        return sum(
            len(fans[a] & fans[b]) / sqrt(len(fans[a]) * len(fans[b]))
            for a in past
            if a != b and fans[a] and fans[b]
        )

    found = item_knn(sequences, ITEMS)(sequences, held)
    np.testing.assert_allclose(found[:, 1:], naive(sequences, held, score), atol=1e-12)


def test_the_first_order_chain_counts_what_follows_the_last_item(
    sequences: Sequences, held: Cases
) -> None:
    follows: Counter[tuple[int, int]] = Counter()
    for items in training(sequences):
        follows.update(pairwise(items))
    leaving = Counter(a for a, _ in follows.elements())
    expected = naive(
        sequences, held, lambda past, b: follows[past[-1], b] / (leaving[past[-1]] + 20)
    )
    found = BASELINES["markov"](sequences, ITEMS)(sequences, held)
    np.testing.assert_allclose(found[:, 1:], expected, atol=1e-8)  # popularity orders the rest


def test_the_windowed_chain_is_its_formula(sequences: Sequences, held: Cases) -> None:
    moves: defaultdict[tuple[int, int], float] = defaultdict(float)
    for items in training(sequences):
        for i, a in enumerate(items):
            for h in range(1, 11):
                if i + h < len(items):
                    moves[a, items[i + h]] += 0.85 ** (h - 1)
    leaving: defaultdict[int, float] = defaultdict(float)
    for (a, _), weight in moves.items():
        leaving[a] += weight
    count = Counter(item for user in training(sequences) for item in user)

    def score(past: list[int], b: int) -> float:
        recent = past[::-1][:10]
        return sum(
            0.7**j * moves[a, b] / (leaving[a] + 20) / (count[b] + 20) ** 0.1
            for j, a in enumerate(recent)
        )

    found = BASELINES["windowed_markov"](sequences, ITEMS)(sequences, held)
    np.testing.assert_allclose(found[:, 1:], naive(sequences, held, score), atol=1e-8)


def test_what_no_transition_reaches_is_ordered_by_popularity(
    make_sequences: Callable[..., Sequences],
) -> None:
    sequences = make_sequences([[1, 2, 9, 9], [3, 3, 9, 9], [3, 4, 9, 9]])
    case = Cases(np.array([0]), np.array([1]))
    found = BASELINES["markov"](sequences, ITEMS)(sequences, case)[0]
    assert found.argmax() == 2
    assert found[3] > found[4] > found[5] == 0


@pytest.mark.parametrize("name", BASELINES)
def test_what_is_held_out_has_no_influence(
    name: str, make_sequences: Callable[..., Sequences]
) -> None:
    rng = np.random.default_rng(0)
    users = [rng.integers(1, ITEMS + 1, 8).tolist() for _ in range(6)]
    changed = [[*user[:6], 10 - user[6], 10 - user[7]] for user in users]
    case = Cases(np.arange(6), np.arange(6) * 8 + 6)  # the validation event of each
    scores = [
        BASELINES[name](sequences, ITEMS)(sequences, case)
        for sequences in (make_sequences(users), make_sequences(changed))
    ]
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("name", BASELINES)
def test_short_logs_are_no_trouble(name: str, make_sequences: Callable[..., Sequences]) -> None:
    sequences = make_sequences([[1, 2, 3], [2, 3]])
    held = cases(sequences, TEST, 4)
    scores = BASELINES[name](sequences, 3)(sequences, held)
    assert scores.shape == (2, 4)
    assert np.isfinite(scores).all()


def test_a_chain_looks_no_further_back_than_it_should(
    make_sequences: Callable[..., Sequences],
) -> None:
    sequences = make_sequences([[1, 2, 9, 9]])
    near = markov(steps=1, step_decay=1, back=1, back_decay=1, shrink=1, damp=0)
    case = Cases(np.array([0]), np.array([3]))  # after 1, 2, 9
    assert near(sequences, 9)(sequences, case)[0, 2] < 1e-6
    far = markov(steps=1, step_decay=1, back=3, back_decay=0.5, shrink=1, damp=0)
    assert far(sequences, 9)(sequences, case)[0, 2] == pytest.approx(0.25 * 1 / 2, abs=1e-6)
