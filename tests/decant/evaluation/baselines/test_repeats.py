"""Repeat-aware models against their formulas in plain Python."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from decant.evaluation.baselines import BASELINES, repeats
from decant.evaluation.baselines.repeats import faded, tifu_knn
from decant.features.sequences import Cases, Sequences

ITEMS = 9
Make = Callable[..., Sequences]
Naive = Callable[[Callable[[list[int], int], float]], np.ndarray]


@pytest.mark.parametrize(("name", "decay"), [("personal_top", 1.0), ("recent_top", 0.9)])
def test_ones_own_items_come_first_then_everybodys(
    name: str, decay: float, sequences: Sequences, held: Cases, training: list[list[int]],
    naive: Naive,
) -> None:  # fmt: skip
    count = Counter(item for user in training for item in user)
    popular = {item: 1e-6 * number / count.total() for item, number in count.items()}
    expected = naive(
        lambda past, b: (
            sum(decay**j for j, a in enumerate(past[::-1]) if a == b) + popular.get(b, 0)
        )
    )
    result = BASELINES[name](sequences, ITEMS)(sequences, held)
    np.testing.assert_allclose(result[:, 1:], expected)


def vector(baskets: list[list[int]]) -> np.ndarray:
    """A user's vector, from groups of baskets that end with the newest."""
    groups = [baskets[max(0, end - 7) : end] for end in range(len(baskets), 0, -7)]
    total = np.zeros(ITEMS + 1)
    for age, group in enumerate(groups):
        for back, basket in enumerate(group[::-1]):
            for item in basket:
                total[item] += 0.7**age * 0.9**back / len(group) / len(groups)
    return total


def test_a_vector_fades_by_baskets_and_by_groups_of_them(make_sequences: Make) -> None:
    rng = np.random.default_rng(1)
    users = [[rng.integers(1, ITEMS + 1, rng.integers(1, 4)).tolist() for _ in range(n)]
             for n in (1, 7, 8, 16)]  # fmt: skip
    numbers = np.repeat(np.arange(32), [len(basket) for user in users for basket in user])
    flat = [[item for basket in user for item in basket] for user in users]
    sequences = make_sequences(flat, baskets=numbers)
    result = faded(sequences, np.arange(4), np.asarray(sequences.offsets[1:]), ITEMS)
    np.testing.assert_allclose(result.toarray(), [vector(user) for user in users])


def test_the_nearest_users_add_what_they_take(
    sequences: Sequences, held: Cases, training: list[list[int]], pasts: list[list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(repeats, "NEIGHBOURS", 2)
    known = {u: vector([[i] for i in items]) for u, items in enumerate(training) if items}
    result = tifu_knn(sequences, ITEMS)(sequences, held)
    for row, (user, past) in enumerate(zip(held.user, pasts, strict=True)):
        own = vector([[item] for item in past])
        others = sorted(
            (v for u, v in known.items() if u != user), key=lambda v: ((v - own) ** 2).sum()
        )
        near = np.sort([((v - own) ** 2).sum() for v in others])
        if near[1] + 1e-9 < near[2]:  # no tie about who is near
            expected = 0.7 * own + 0.3 * np.mean(others[:2], axis=0)
            np.testing.assert_allclose(result[row], expected, atol=1e-12)


def test_who_is_alone_has_only_the_own_past(make_sequences: Make) -> None:
    sequences = make_sequences([[1, 2, 1, 3, 4], [5, 6]])
    case = Cases(np.array([0]), np.array([3]))
    scores = tifu_knn(sequences, ITEMS)(sequences, case)[0]
    np.testing.assert_allclose(scores, 0.7 * vector([[1], [2], [1]]))
