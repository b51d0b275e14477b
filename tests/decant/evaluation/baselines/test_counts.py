"""What traditional models are fitted on."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from decant.evaluation.baselines.counts import (
    follows,
    histories,
    user_items,
)
from decant.features.sequences import Cases, Sequences, training_counts, training_events


def test_only_training_events_count(
    sequences: Sequences, training: list[list[int]], items: int
) -> None:
    taken = [item for user in training for item in user]
    assert sequences.items[training_events(sequences)].tolist() == taken
    counted = Counter(taken)
    expected = [counted[item] for item in range(items + 1)]
    assert training_counts(sequences, items).tolist() == expected


def test_an_item_taken_twice_is_seen_once(
    sequences: Sequences, seen: np.ndarray, items: int
) -> None:
    assert user_items(sequences, items).toarray().tolist() == seen.tolist()


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_what_follows_is_counted_within_a_user(
    sequences: Sequences, training: list[list[int]], items: int, steps: int
) -> None:
    expected = np.zeros((items + 1, items + 1))
    for taken in training:
        for a, b in zip(taken, taken[steps:], strict=False):
            expected[a, b] += 1
    assert follows(sequences, items, steps).toarray().tolist() == expected.tolist()


def test_a_history_fades_and_ends(make_sequences: Callable[..., Sequences]) -> None:
    sequences = make_sequences([[9, 9], [1, 2, 1, 3, 4]])
    case = Cases(np.array([1]), np.array([6]))  # after 1, 2, 1, 3
    whole = histories(sequences, case, 4, decay=0.5).toarray()[0]
    assert whole.tolist() == [0, 0.125 + 0.5, 0.25, 1, 0]
    assert histories(sequences, case, 4, decay=0.5, back=2).toarray()[0].tolist() == [
        0, 0.5, 0, 1, 0,
    ]  # fmt: skip
    assert histories(sequences, case, 4).toarray()[0].tolist() == [0, 2, 1, 1, 0]
