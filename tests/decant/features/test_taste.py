"""Clusters of taste: who takes alike things stands together."""

import numpy as np
import pytest

from decant.features.sequences import Sequences
from decant.features.taste import taste_groups

USERS, LENGTH, ITEMS = 60, 12, 20


@pytest.fixture
def two_tastes() -> Sequences:
    """Even users take of items 1 to 10, odd users of 11 to 20, until the last two events."""
    rng = np.random.default_rng(0)
    items = rng.integers(1, 11, (USERS, LENGTH)) + 10 * (np.arange(USERS) % 2)[:, None]
    items[:, -2:] = 1  # validation and test, which must not be looked at
    zeros = np.zeros(USERS * LENGTH, dtype=np.int64)
    return Sequences(
        offsets=np.arange(0, USERS * LENGTH + 1, LENGTH),
        items=items.ravel(),
        behaviours=zeros,
        ratings=zeros,
        gaps=zeros,
        times=zeros.astype(float),
        target=np.ones(USERS * LENGTH, dtype=bool),
        attributes=np.zeros((USERS, 0), dtype=np.int64),
        split=np.tile([LENGTH - 2, LENGTH - 1], (USERS, 1)),
    )


def test_users_who_take_alike_things_are_one_group(two_tastes: Sequences) -> None:
    result = taste_groups(two_tastes, ITEMS, np.arange(USERS), 2, seed=1)
    assert {tuple(users % 2) for users in result.values()} == {(0,) * 30, (1,) * 30}


def test_every_member_is_in_one_group_and_nobody_else(two_tastes: Sequences) -> None:
    members = np.arange(5, 40)
    result = taste_groups(two_tastes, ITEMS, members, 4, seed=1)
    assert list(result) == ["taste_1", "taste_2", "taste_3", "taste_4"]
    assert sorted(np.concatenate(list(result.values()))) == members.tolist()
    sizes = [len(users) for users in result.values()]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] > 0


def test_the_same_seed_makes_the_same_groups(two_tastes: Sequences) -> None:
    first, second = (taste_groups(two_tastes, ITEMS, np.arange(USERS), 3, seed=4) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)
