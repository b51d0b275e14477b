from collections.abc import Callable

import numpy as np
import pytest

from decant.features.holdout import decision_cases, in_selection, of_users, selection_cases
from decant.features.sequences import VALIDATION, Sequences, cases


@pytest.fixture
def sequences(make_sequences: Callable[..., Sequences]) -> Sequences:
    return make_sequences([[1, 2, 3, 4, 5]] * 400, split=[[2, 4]] * 400)


def test_the_halves_share_no_user_and_miss_none(sequences: Sequences) -> None:
    picking_users = set(selection_cases(sequences, 4).user.tolist())
    deciding_users = set(decision_cases(sequences, 4).user.tolist())
    assert not picking_users & deciding_users
    assert picking_users | deciding_users == set(range(400))


def test_together_they_are_the_validation_cases(sequences: Sequences) -> None:
    both = [*selection_cases(sequences, 4).position, *decision_cases(sequences, 4).position]
    assert sorted(both) == sorted(cases(sequences, VALIDATION, 4).position)


@pytest.mark.parametrize(
    "users", [np.arange(400), np.arange(0, 4000, 4), np.arange(10**6, 10**6 + 500)]
)
def test_about_half_of_any_users_pick(users: np.ndarray) -> None:
    assert 0.4 < in_selection(users).mean() < 0.6


def test_a_users_half_never_changes() -> None:
    assert (
        in_selection(np.arange(12)).tolist()
        == in_selection(np.arange(100, dtype=np.int32))[:12].tolist()
    )
    assert in_selection(np.arange(8)).astype(int).tolist() == [1, 0, 1, 1, 0, 0, 1, 1]


def test_the_cases_of_some_users(sequences: Sequences) -> None:
    chosen = of_users(selection_cases(sequences, 1), np.array([0, 2, 3]))
    assert chosen.user.tolist() == [u for u in (0, 2, 3) if in_selection(np.array([u]))[0]]
