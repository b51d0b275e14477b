from itertools import product

import numpy as np
import pytest

from decant.data.sources.demo.process import (
    CONTINUES,
    GROUPS,
    INTEREST_WEIGHTS,
    INTERESTS,
    INTERESTS_PER_USER,
    STAYS,
    SUCCESSOR_WEIGHTS,
    SUCCESSORS,
    Process,
    Walk,
    draw_interests,
    draw_process,
    longest_walk,
    next_item_distribution,
    take,
)

ITEMS, USERS, STEPS = 64, 200, 10


@pytest.fixture(scope="module")
def process() -> Process:
    return draw_process(ITEMS, np.random.default_rng(0))


def walked(process: Process, steps: int) -> tuple[np.ndarray, np.ndarray, Walk]:
    """Users who have made some steps by the process: group, interests, where they stand."""
    rng = np.random.default_rng(1)
    group, interests = rng.integers(0, GROUPS, USERS), draw_interests(USERS, rng)
    walk, everybody = Walk.start(USERS, ITEMS), np.arange(USERS)
    for _ in range(steps):
        chance = next_item_distribution(process, group, interests, walk)
        chosen = np.array([rng.choice(ITEMS, p=row) for row in chance])
        take(process, interests, walk, everybody, chosen)
    return group, interests, walk


@pytest.mark.parametrize("steps", [0, 1, STEPS])
def test_each_users_chances_sum_to_one_and_taken_items_have_none(
    process: Process, steps: int
) -> None:
    group, interests, walk = walked(process, steps)
    chance = next_item_distribution(process, group, interests, walk)
    np.testing.assert_allclose(chance.sum(axis=1), 1)
    assert (chance >= 0).all()
    assert not chance[walk.taken].any()
    assert walk.taken.sum() == steps * USERS


@pytest.mark.parametrize("steps", [0, STEPS])
def test_nobody_takes_what_is_none_of_his_interests(process: Process, steps: int) -> None:
    group, interests, walk = walked(process, steps)
    chance = next_item_distribution(process, group, interests, walk)
    own = (interests[:, :, None] == process.interest).any(axis=1)
    assert not chance[~own].any()


def naive(process: Process, group: int, interests: list[int], walk: Walk, user: int) -> list[float]:
    """The process again, item by item, as its module's documentation tells it."""
    chance = [0.0] * ITEMS
    for slot, interest in enumerate(interests):
        weight = INTEREST_WEIGHTS[slot]
        if walk.current[user] >= 0:
            weight = STAYS * (walk.current[user] == slot) + (1 - STAYS) * weight
        free = [
            i for i in range(ITEMS) if process.interest[i] == interest and not walk.taken[user, i]
        ]
        popular = sum(process.popularity[i] for i in free)
        after: dict[int, float] = {}
        if (last := walk.last[user, slot]) >= 0:
            for item, share in zip(process.successors[group, last], SUCCESSOR_WEIGHTS, strict=True):
                if item in free:
                    after[item] = after.get(item, 0.0) + share
        total = sum(after.values())
        for item in free:
            drawn = process.popularity[item] / popular
            chained = (
                CONTINUES * after.get(item, 0) / total + (1 - CONTINUES) * drawn if total else drawn
            )
            chance[item] += weight * chained
    return [c / sum(chance) for c in chance]


@pytest.mark.parametrize("steps", [0, 1, STEPS])
def test_the_distribution_is_what_the_law_says(process: Process, steps: int) -> None:
    group, interests, walk = walked(process, steps)
    chance = next_item_distribution(process, group, interests, walk)
    for user in range(0, USERS, 20):
        expected = naive(process, int(group[user]), interests[user].tolist(), walk, user)
        np.testing.assert_allclose(chance[user], expected, atol=1e-12)


def test_a_step_remembers_the_item_and_its_interest(process: Process) -> None:
    interests = np.array([[3, 1, 5]])
    walk = Walk.start(1, ITEMS)
    item = int(np.flatnonzero(process.interest == 5)[2])
    take(process, interests, walk, np.array([0]), np.array([item]))
    assert walk.last.tolist() == [[-1, -1, item]]
    assert walk.current.tolist() == [2]
    assert np.flatnonzero(walk.taken[0]).tolist() == [item]


def test_a_copy_of_some_users_is_a_copy(process: Process) -> None:
    interests = np.array([[0, 1, 2], [3, 4, 5]])
    walk = Walk.start(2, ITEMS)
    copy = walk.subset(np.array([1]))
    take(process, interests, walk, np.array([1]), np.array([3]))
    assert not copy.taken.any()
    assert copy.current.tolist() == [-1]


def test_an_items_successors_are_other_items_of_its_interest(process: Process) -> None:
    assert process.successors.shape == (GROUPS, ITEMS, SUCCESSORS)
    for group, item in product(range(GROUPS), range(ITEMS)):
        after = process.successors[group, item]
        assert len(set(after.tolist())) == SUCCESSORS
        assert item not in after
        assert (process.interest[after] == process.interest[item]).all()


def test_two_successors_are_everybodys_one_is_by_gender_one_by_age(process: Process) -> None:
    man_old, man_young, woman_old, woman_young = process.successors
    for group in (man_young, woman_old, woman_young):
        assert np.array_equal(group[:, :2], man_old[:, :2])
    assert np.array_equal(man_old[:, 2], man_young[:, 2])
    assert np.array_equal(woman_old[:, 2], woman_young[:, 2])
    assert (man_old[:, 2] != woman_old[:, 2]).all()
    assert np.array_equal(man_old[:, 3], woman_old[:, 3])
    assert np.array_equal(man_young[:, 3], woman_young[:, 3])
    assert (man_old[:, 3] != man_young[:, 3]).all()


def test_popularity_sums_to_one_within_each_interest(process: Process) -> None:
    for interest in range(INTERESTS):
        assert process.popularity[process.interest == interest].sum() == pytest.approx(1)


def test_a_user_has_three_interests_all_different() -> None:
    interests = draw_interests(500, np.random.default_rng(0))
    assert interests.shape == (500, INTERESTS_PER_USER)
    assert all(len(set(row)) == INTERESTS_PER_USER for row in interests.tolist())
    assert np.bincount(interests.ravel(), minlength=INTERESTS).min() > 150


@pytest.mark.parametrize("items", [40, 48, 400])
def test_the_longest_walk_leaves_everybody_a_choice(items: int) -> None:
    process = draw_process(items, np.random.default_rng(2))
    rng = np.random.default_rng(3)
    group, interests = rng.integers(0, GROUPS, 20), draw_interests(20, rng)
    walk = Walk.start(20, items)
    for _ in range(longest_walk(items)):
        chance = next_item_distribution(process, group, interests, walk)
        assert np.isfinite(chance).all()
        take(process, interests, walk, np.arange(20), chance.argmax(axis=1))
