"""Noise touches what comes before a case, as much of it as asked for, and nothing else."""

from collections.abc import Callable
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest

from decant.evaluation.noise import NoiseError, drop, insert, kinds, shuffle
from decant.features.encode import GAP_SECONDS, INPUTS, gap_indices
from decant.features.sequences import TEST, Cases, Sequences, cases, gather, histories

USERS, ITEMS, LENGTH = 40, 12, 25
KINDS = tuple(kinds(LENGTH))
HALVES = [0.0, 0.1, 0.25, 0.5, 1.0]


@pytest.fixture(scope="module")
def sequences(make_sequences: Callable[..., Sequences]) -> Sequences:
    """Users of 3 to 42 events whose behaviour and rating tell their item; they have a clock."""
    rng = np.random.default_rng(3)
    users = [rng.integers(1, ITEMS + 1, 3 + number).tolist() for number in range(USERS)]
    plain = make_sequences(users, attributes=np.arange(USERS)[:, None])
    owner = np.repeat(np.arange(USERS), np.diff(plain.offsets))
    times = rng.exponential(5000, len(plain.items)).cumsum()
    return replace(
        plain,
        behaviours=(plain.items % 3 + 1).astype(np.int8),
        ratings=(plain.items % 5).astype(np.int8),
        times=times,
        gaps=gap_indices(owner, times).astype(np.int8),
    )


@pytest.fixture(scope="module")
def chosen(sequences: Sequences) -> Cases:
    """The last event of everybody; two users are left out."""
    last = cases(sequences, TEST, 1)
    return last.take(np.delete(np.arange(len(last)), [0, 7]))


def before(sequences: Sequences, chosen: Cases, column: str = "items") -> list[list[int]]:
    """A column of the events before each case."""
    start, values = np.asarray(sequences.offsets)[chosen.user], getattr(sequences, column)
    return [values[a:b].tolist() for a, b in zip(start, chosen.position, strict=True)]


def counts(sequences: Sequences, chosen: Cases) -> np.ndarray:
    return np.array([len(row) for row in before(sequences, chosen)])


def is_subsequence(short: list[int], long: list[int]) -> bool:
    rest = iter(long)
    return all(event in rest for event in short)


@pytest.mark.parametrize("kind", KINDS)
def test_no_noise_changes_nothing(kind: str, sequences: Sequences, chosen: Cases) -> None:
    made, result = kinds(LENGTH)[kind](sequences, chosen, 0.0, 1)
    ours = histories(made, result, INPUTS, 50)
    for name, column in histories(sequences, chosen, INPUTS, 50).items():
        assert ours[name].dtype == column.dtype
        assert (ours[name] == column).all(), name
    for field in fields(Sequences):
        assert getattr(made, field.name).dtype == getattr(sequences, field.name).dtype


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", HALVES)
def test_users_targets_and_attributes_stay(
    kind: str, share: float, sequences: Sequences, chosen: Cases
) -> None:
    made, result = kinds(LENGTH)[kind](sequences, chosen, share, 1)
    assert (result.user == chosen.user).all()
    assert made.users == sequences.users
    assert made.attributes is sequences.attributes
    for name in (*INPUTS, "times", "target"):
        ours, true = getattr(made, name)[result.position], getattr(sequences, name)[chosen.position]
        assert (ours == true).all(), name
    assert (made.offsets[result.user + 1] - 1 == result.position).all()


@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_by_seed_alone_and_not_by_what_else_is_measured(
    kind: str, sequences: Sequences, chosen: Cases
) -> None:
    noise = kinds(LENGTH)[kind]
    first, second = (before(*noise(sequences, chosen, 0.5, 1)) for _ in range(2))
    assert first == second
    assert first != before(*noise(sequences, chosen, 0.5, 2))
    some = np.arange(3, len(chosen), 4)
    assert before(*noise(sequences, chosen.take(some), 0.5, 1)) == [first[row] for row in some]


@pytest.mark.parametrize("share", HALVES)
def test_drop_loses_the_share_and_never_everything(
    share: float, sequences: Sequences, chosen: Cases
) -> None:
    true, left = counts(sequences, chosen), counts(*drop(sequences, chosen, share, 1))
    lost = true - left
    assert (left >= 1).all()
    assert (lost >= np.minimum(np.floor(share * true), true - 1)).all()
    assert (lost <= np.ceil(share * true)).all()


def test_rounding_is_right_on_average(make_sequences: Callable[..., Sequences]) -> None:
    short = make_sequences([[1, 2, 3, 4]] * 4000)  # histories of three: a tenth is .3 events
    chosen = cases(short, TEST, 1)
    lost = counts(short, chosen) - counts(*drop(short, chosen, 0.1, 1))
    assert set(lost.tolist()) == {0, 1}
    assert abs(lost.mean() - 0.3) < 0.04


def test_what_is_dropped_at_a_share_is_dropped_at_a_higher_one(
    sequences: Sequences, chosen: Cases
) -> None:
    rows = [before(*drop(sequences, chosen, share, 1), "times") for share in HALVES]
    for more, fewer in pairwise(rows):
        assert all(set(a) <= set(b) for a, b in zip(fewer, more, strict=True))
        assert all(a == sorted(a) for a in fewer)


@pytest.mark.parametrize("share", HALVES)
def test_insert_adds_the_share_and_keeps_the_history(
    share: float, sequences: Sequences, chosen: Cases
) -> None:
    noisy = insert(sequences, chosen, share, 1)
    true, added = counts(sequences, chosen), counts(*noisy) - counts(sequences, chosen)
    assert (added >= np.floor(share * true)).all()
    assert (added <= np.ceil(share * true)).all()
    pairs = zip(before(sequences, chosen, "times"), before(*noisy, "times"), strict=True)
    assert all(is_subsequence(row, noisy_row) for row, noisy_row in pairs)


def test_what_is_inserted_at_a_share_is_inserted_at_a_higher_one(
    sequences: Sequences, chosen: Cases
) -> None:
    rows = [before(*insert(sequences, chosen, share, 1), "times") for share in HALVES]
    for fewer, more in pairwise(rows):
        assert all(is_subsequence(a, b) for a, b in zip(fewer, more, strict=True))


def test_what_is_inserted_is_a_training_event_of_somebody_but_never_of_the_target_item(
    sequences: Sequences, chosen: Cases
) -> None:
    made, result = insert(sequences, chosen, 1.0, 1)
    true_times = set(sequences.times.tolist())
    targets = sequences.items[chosen.position]
    trained = set(np.concatenate(before(sequences, chosen)).tolist())
    inserted = 0
    for row, target in enumerate(targets.tolist()):  # at share 1 every other event is one
        start, stop = made.offsets[result.user[row]], result.position[row]
        new = np.array([time not in true_times for time in made.times[start:stop].tolist()])
        assert new.tolist() == [False, True] * (len(new) // 2)
        items = made.items[start:stop][new]
        assert target not in items
        assert set(items.tolist()) <= trained
        assert (made.behaviours[start:stop][new] == items % 3 + 1).all()
        assert (made.ratings[start:stop][new] == items % 5).all()
        inserted += len(items)
    assert inserted == counts(sequences, chosen).sum()


def test_items_are_inserted_by_popularity(make_sequences: Callable[..., Sequences]) -> None:
    split = [[8, 8]] * 500
    made = make_sequences([[1, 2, 1, 3, 1, 1, 1, 1, 4, 5]] * 500, split=split)
    chosen = cases(made, TEST, 1)  # item 4; training has six of item 1, one of 2 and 3
    noisy, result = insert(made, chosen, 1.0, 1)
    added = np.bincount(noisy.items) - np.bincount(np.concatenate([made.items[:9]] * 500))
    assert np.abs(added / added.sum() - [0, 6 / 8, 1 / 8, 1 / 8, 0]).max() < 0.02
    assert len(result) == 500


@pytest.mark.parametrize("kind", KINDS)
def test_times_ascend_and_gaps_are_theirs(kind: str, sequences: Sequences, chosen: Cases) -> None:
    made, result = kinds(LENGTH)[kind](sequences, chosen, 0.5, 1)
    for times, gaps in zip(
        before(made, result, "times"), before(made, result, "gaps"), strict=True
    ):
        steps = np.diff(times)
        assert (steps >= 0).all()
        assert gaps == [0, *(np.searchsorted(GAP_SECONDS, steps, side="right") + 1)]


def test_without_a_clock_there_are_no_gaps(sequences: Sequences, chosen: Cases) -> None:
    clockless = replace(
        sequences, times=np.full(len(sequences.items), np.nan), gaps=0 * sequences.gaps
    )
    for noise in kinds(LENGTH).values():
        made, _ = noise(clockless, chosen, 0.5, 1)
        assert not made.gaps.any()
        assert np.isnan(made.times).all()


def test_shuffle_keeps_the_events_and_moves_none_further_than_it_may(
    make_sequences: Callable[..., Sequences],
) -> None:
    order = make_sequences([list(range(1, 62))] * 30)
    chosen = cases(order, TEST, 1)
    moved = []
    for share in HALVES:
        rows = np.array(before(*shuffle(order, chosen, share, 1, max_length=LENGTH)))
        assert (np.sort(rows) == np.arange(1, 61)).all()
        distance = np.abs(rows - np.arange(1, 61))
        # one may pass every other within twice the reach: both keys move
        assert distance.max() <= 2 * share * LENGTH
        moved.append(distance.mean())
    assert moved[0] == 0
    assert moved == sorted(moved)
    assert moved[-1] > 5


def test_in_a_short_history_the_reach_is_a_share_of_it(
    make_sequences: Callable[..., Sequences],
) -> None:
    two = make_sequences([[1, 2, 3]] * 400)
    chosen = cases(two, TEST, 1)
    swapped = {
        share: np.mean([r == [2, 1] for r in before(*shuffle(two, chosen, share, 1, max_length=9))])
        for share in (0.25, 0.5, 1.0)
    }
    assert swapped[0.25] == 0  # keys that move by half a place do not cross
    assert abs(swapped[0.5] - 1 / 8) < 0.05  # P(z1 - z2 > 1)
    assert abs(swapped[1.0] - 9 / 32) < 0.07  # P(2 z1 - 2 z2 > 1)


def test_behaviour_and_rating_go_with_their_event(sequences: Sequences, chosen: Cases) -> None:
    made, _ = shuffle(sequences, chosen, 0.5, 1, max_length=LENGTH)
    assert (made.behaviours == made.items % 3 + 1).all()
    assert (made.ratings == made.items % 5).all()


def test_two_cases_of_one_user_are_refused(sequences: Sequences) -> None:
    twice = Cases(np.array([3, 3]), sequences.offsets[3] + np.array([2, 3]))
    for noise in kinds(LENGTH).values():
        with pytest.raises(NoiseError, match="one case per user"):
            noise(sequences, twice, 0.1, 1)


def test_training_without_another_item_is_said(make_sequences: Callable[..., Sequences]) -> None:
    same = make_sequences([[1, 1, 1, 1]])
    with pytest.raises(NoiseError, match="no events to insert"):
        insert(same, cases(same, TEST, 1), 1.0, 1)


def test_users_without_a_case_own_nothing(sequences: Sequences, chosen: Cases) -> None:
    made, _ = drop(sequences, chosen, 0.5, 1)
    left_out = np.setdiff1d(np.arange(USERS), chosen.user)
    assert len(left_out) == 2
    assert (np.diff(made.offsets)[left_out] == 0).all()
    empty = gather(made, ("items",), made.offsets[left_out], made.offsets[left_out], 3)
    assert not empty["items"].any()
