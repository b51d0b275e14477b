from collections.abc import Iterable

import numpy as np
import pytest

from decant.data.sources.demo.process import (
    CART,
    CONTINUES,
    DEEDS,
    GENDERS,
    GROUPS,
    INTEREST_WEIGHTS,
    INTERESTS,
    INTERESTS_PER_USER,
    KINDS,
    MATCHES,
    PURCHASE,
    RETURNS,
    STAYS,
    STYLES,
    VIEW,
    Process,
    Walk,
    draw_interests,
    draw_process,
    follows,
    longest_visit,
    next_item_distribution,
    take,
)

ITEMS, USERS, STEPS = 200, 200, 10


@pytest.fixture(scope="module")
def process() -> Process:
    return draw_process(ITEMS, np.random.default_rng(0))


def walked(process: Process, steps: int) -> tuple[np.ndarray, np.ndarray, Walk]:
    """Users who have made some steps by the process, half of them after a pause: group, interests,
    where they stand."""
    rng = np.random.default_rng(1)
    group, interests = rng.integers(0, GROUPS, USERS), draw_interests(USERS, rng)
    walk, everybody = Walk.start(USERS, ITEMS), np.arange(USERS)
    for _ in range(steps):
        chance = next_item_distribution(process, group, interests, walk)
        chosen = np.array([rng.choice(ITEMS, p=row) for row in chance])
        deed = rng.choice(len(DEEDS), USERS, p=DEEDS)
        take(process, interests, walk, everybody, chosen, deed)
    walk.end_visit(everybody[::2])
    return group, interests, walk


@pytest.mark.parametrize("steps", [0, 1, STEPS])
def test_each_users_chances_sum_to_one_and_items_of_the_visit_have_none(
    process: Process, steps: int
) -> None:
    group, interests, walk = walked(process, steps)
    chance = next_item_distribution(process, group, interests, walk)
    np.testing.assert_allclose(chance.sum(axis=1), 1)
    assert (chance >= 0).all()
    assert not chance[walk.taken].any()
    assert walk.taken.sum() == steps * USERS / 2
    assert (walk.often.sum(axis=1) == steps).all()


@pytest.mark.parametrize("steps", [0, STEPS])
def test_nobody_takes_what_is_none_of_his_interests(process: Process, steps: int) -> None:
    group, interests, walk = walked(process, steps)
    chance = next_item_distribution(process, group, interests, walk)
    own = (interests[:, :, None] == process.interest).any(axis=1)
    assert not chance[~own].any()


def shares(weights: Iterable[float]) -> list[float]:
    listed = list(weights)
    return [w / sum(listed) if sum(listed) else 0.0 for w in listed]


def naive(process: Process, group: int, interests: list[int], walk: Walk, user: int) -> list[float]:
    """The process again, item by item, as its module's documentation tells it."""
    woman, young = group >= 2, group % 2 == 1
    free = [process.popularity[i] * (not walk.taken[user, i]) for i in range(ITEMS)]
    chance = [0.0] * ITEMS
    for slot, interest in enumerate(interests):
        weight = INTEREST_WEIGHTS[slot]
        if walk.current[user] >= 0:
            weight = STAYS * (walk.current[user] == slot) + (1 - STAYS) * weight
        drawn = shares(free[i] * (process.interest[i] == interest) for i in range(ITEMS))
        chained, last = [0.0] * ITEMS, walk.last[user, slot]
        if last >= 0:
            kind = process.kind[last]
            if walk.chosen[user, slot]:
                kind = process.partner[int(woman), kind]
            style = (process.style[last] + (2 if young else 1)) % STYLES
            chained = shares(
                free[i]
                * (process.kind[i] == kind)
                * (MATCHES if process.style[i] == style else 1.0)
                for i in range(ITEMS)
            )
        go_on = CONTINUES if any(chained) else 0.0
        for i in range(ITEMS):
            chance[i] += weight * (go_on * chained[i] + (1 - go_on) * drawn[i])
    chance = shares(chance)
    if walk.current[user] < 0 and walk.often[user].any():
        again = shares(walk.often[user] ** 2)
        chance = [RETURNS * a + (1 - RETURNS) * c for a, c in zip(again, chance, strict=True)]
    return chance


@pytest.mark.parametrize("steps", [0, 1, STEPS])
def test_the_distribution_is_what_the_law_says(process: Process, steps: int) -> None:
    group, interests, walk = walked(process, steps)
    chance = next_item_distribution(process, group, interests, walk)
    for user in range(0, USERS, 11):
        expected = naive(process, int(group[user]), interests[user].tolist(), walk, user)
        np.testing.assert_allclose(chance[user], expected, atol=1e-12)


@pytest.mark.parametrize(("deed", "chosen"), [(VIEW, False), (CART, True), (PURCHASE, True)])
def test_a_step_remembers_the_item_its_interest_and_what_was_done(
    process: Process, deed: int, chosen: bool
) -> None:
    interests = np.array([[3, 1, 5]])
    walk = Walk.start(1, ITEMS)
    item = int(np.flatnonzero(process.interest == 5)[2])
    take(process, interests, walk, np.array([0]), np.array([item]), np.array([deed]))
    assert walk.last.tolist() == [[-1, -1, item]]
    assert walk.chosen.tolist() == [[False, False, chosen]]
    assert walk.current.tolist() == [2]
    assert np.flatnonzero(walk.taken[0]).tolist() == [item]
    assert np.flatnonzero(walk.often[0]).tolist() == [item]


def test_a_visit_ends_without_forgetting_what_was_taken(process: Process) -> None:
    walk = Walk.start(2, ITEMS)
    both, interests = np.arange(2), np.array([[3, 1, 5]] * 2)
    take(process, interests, walk, both, np.array([3, 3]), np.array([VIEW, VIEW]))
    walk.end_visit(np.array([1]))
    assert walk.current.tolist() == [0, -1]
    assert walk.taken.sum(axis=1).tolist() == [1, 0]
    assert walk.last[:, 0].tolist() == [3, 3]
    assert walk.often.sum(axis=1).tolist() == [1, 1]


def test_a_copy_of_some_users_is_a_copy(process: Process) -> None:
    interests = np.array([[0, 1, 2], [3, 4, 5]])
    walk = Walk.start(2, ITEMS)
    copy = walk.subset(np.array([1]))
    take(process, interests, walk, np.array([1]), np.array([3]), np.array([CART]))
    assert not copy.taken.any()
    assert copy.current.tolist() == [-1]


def test_what_follows_depends_on_what_was_done_on_gender_and_on_age(process: Process) -> None:
    group = np.repeat(np.arange(GROUPS), 2)  # man, woman; the older first
    chosen = np.tile([False, True], GROUPS)
    after = follows(process, group, np.full(len(group), 8), chosen)
    kinds = [set(process.kind[row > 0].tolist()) for row in after]
    assert all(len(one) == 1 for one in kinds)
    assert kinds[0] == kinds[2] == kinds[4] == kinds[6] == {int(process.kind[8])}
    assert kinds[1] == kinds[3] != kinds[5] == kinds[7] != kinds[0]
    best = [set(process.style[row == MATCHES].tolist()) for row in after]
    assert best[0] == best[4] == {int(process.style[8] + 1) % STYLES}
    assert best[2] == best[6] == {int(process.style[8] + 2) % STYLES}


def test_what_goes_with_a_kind_is_another_one_of_its_interest(process: Process) -> None:
    assert process.partner.shape == (GENDERS, INTERESTS * KINDS)
    for partner in process.partner:
        assert (partner // KINDS == np.arange(INTERESTS * KINDS) // KINDS).all()
        assert sorted(partner) == list(range(INTERESTS * KINDS))
        assert (partner != np.arange(INTERESTS * KINDS)).all()
    assert (process.partner[0] != process.partner[1]).all()


def test_items_are_spread_evenly_over_interests_kinds_and_styles() -> None:
    process = draw_process(400, np.random.default_rng(0))
    assert set(np.bincount(process.interest).tolist()) == {50}
    assert set(np.bincount(process.kind).tolist()) == {10}
    assert set(np.bincount(process.kind * STYLES + process.style).tolist()) == {2}
    assert (process.kind // KINDS == process.interest).all()


def test_popularity_sums_to_one_within_each_interest(process: Process) -> None:
    for interest in range(INTERESTS):
        assert process.popularity[process.interest == interest].sum() == pytest.approx(1)


def test_a_user_has_three_interests_all_different() -> None:
    interests = draw_interests(500, np.random.default_rng(0))
    assert interests.shape == (500, INTERESTS_PER_USER)
    assert all(len(set(row)) == INTERESTS_PER_USER for row in interests.tolist())
    assert np.bincount(interests.ravel(), minlength=INTERESTS).min() > 150


@pytest.mark.parametrize("items", [40, 48, 400])
def test_the_longest_visit_leaves_everybody_a_choice(items: int) -> None:
    process = draw_process(items, np.random.default_rng(2))
    rng = np.random.default_rng(3)
    group, interests = rng.integers(0, GROUPS, 20), draw_interests(20, rng)
    walk = Walk.start(20, items)
    for _ in range(longest_visit(items)):
        chance = next_item_distribution(process, group, interests, walk)
        np.testing.assert_allclose(chance.sum(axis=1), 1)
        take(process, interests, walk, np.arange(20), chance.argmax(axis=1), np.full(20, CART))
