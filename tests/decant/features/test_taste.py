"""Groups by taste: users who take similar items are together, by one rule in every place."""

import json
from dataclasses import replace

import numpy as np
import pytest

from decant.features.sequences import Sequences
from decant.features.taste import TasteGroups, fit_taste_groups

USERS, LENGTH, ITEMS = 60, 12, 20


@pytest.fixture
def two_tastes() -> Sequences:
    """Two users of three take of items 1 to 10, the third of 11 to 20, until the last two events;
    the last user has no training event."""
    rng = np.random.default_rng(0)
    second = np.arange(USERS) % 3 == 2
    items = rng.integers(1, 11, (USERS, LENGTH)) + 10 * second[:, None]
    items[:, -2:] = 1  # validation and test, which must not be looked at
    split = np.tile([LENGTH - 2, LENGTH - 1], (USERS, 1))
    split[-1, 0] = 0
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
        split=split,
        baskets=np.arange(USERS * LENGTH),
    )


def test_users_who_take_similar_items_are_one_group_and_the_largest_is_the_first(
    two_tastes: Sequences,
) -> None:
    groups = fit_taste_groups(two_tastes, ITEMS, 2, seed=1).groups(two_tastes)
    expected = ["2" if user % 3 == 2 else "1" for user in range(USERS - 1)]
    assert groups == [*expected, None]


def test_a_history_of_a_request_is_assigned_like_that_of_a_user(two_tastes: Sequences) -> None:
    taste = fit_taste_groups(two_tastes, ITEMS, 2, seed=1)
    assert taste.group(np.array([1, 2, 2])) == "1"
    assert taste.group(np.array([0, 15])) == "2"
    assert taste.group(np.array([], dtype=np.int64)) is None
    assert taste.group(np.array([0])) is None


def test_users_are_clustered_by_their_own_training_events(two_tastes: Sequences) -> None:
    """Neighbours differ in taste, and the first takes half as much as all others: an event that is
    counted for a neighbour mixes the two."""
    lengths = np.r_[2, np.full(USERS - 1, 4)]
    rng = np.random.default_rng(1)
    taken = [rng.integers(1, 11, n) + 10 * (user % 2) for user, n in enumerate(lengths)]
    held_out = [ITEMS + 1 + np.arange(2) + 2 * (user % 2) for user in range(USERS)]
    items = np.concatenate([np.r_[a, b] for a, b in zip(taken, held_out, strict=True)])
    uneven = replace(
        two_tastes,
        offsets=np.r_[0, (lengths + 2).cumsum()],
        items=items,
        split=np.stack([lengths, lengths + 1], axis=1),
    )
    taste = fit_taste_groups(uneven, ITEMS + 4, 2, seed=1)
    groups = taste.groups(uneven)
    assert [{*groups[0::2]}, {*groups[1::2]}] in ([{"1"}, {"2"}], [{"2"}, {"1"}])
    assert not taste.affinity[ITEMS + 1 :].any(), "items of the held-out events have no affinity"


def test_a_history_is_in_the_group_of_highest_affinity() -> None:
    taste = TasteGroups(np.array([[0, 0, 0], [3, 2, 1], [0, 5, 9]], dtype=float))
    assert [taste.group(np.array(items)) for items in ([1], [2], [1, 2])] == ["1", "3", "3"]


def test_the_same_seed_makes_the_same_groups(two_tastes: Sequences) -> None:
    first, second = (fit_taste_groups(two_tastes, ITEMS, 3, seed=4) for _ in range(2))
    assert np.array_equal(first.affinity, second.affinity)


def test_groups_are_the_same_after_a_file(two_tastes: Sequences) -> None:
    taste = fit_taste_groups(two_tastes, ITEMS, 2, seed=1)
    stored = json.loads(json.dumps(taste.to_lists()))
    assert np.array_equal(TasteGroups.from_lists(stored, ITEMS).affinity, taste.affinity)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([[1.0]] * ITEMS, "shape"),
        ([[]] * (ITEMS + 1), "shape"),
        ([[float("nan")]] * (ITEMS + 1), "not finite"),
        ([["a"]] * (ITEMS + 1), "could not convert"),
        (3, "shape"),
    ],
)
def test_a_damaged_file_is_refused(rows: list[list[float]], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        TasteGroups.from_lists(rows, ITEMS)
