from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from decant.features.encode import Events, encode_events
from decant.features.sequences import (
    TEST,
    VALIDATION,
    Cases,
    Sequences,
    cases,
    gather,
    histories,
    history_lengths,
    masked_items,
    ranges,
    training_counts,
    training_events,
)

Make = Callable[..., Sequences]
few = st.integers(0, 5)
parts = st.lists(st.tuples(few, few, few), min_size=1, max_size=8)


def held_out(make: Make, users: list[tuple[int, int, int]]) -> Sequences:
    """Users of (training, validation, test) events."""
    items = [[1 + i % 7 for i in range(sum(user))] for user in users]
    return make(items, split=[[a, a + b] for a, b, _ in users])


@settings(max_examples=80, deadline=None)
@given(users=parts, per_user=st.integers(1, 4))
def test_cases_are_the_first_targets_of_each_users_window(
    make_sequences: Make, users: list[tuple[int, int, int]], per_user: int
) -> None:
    sequences = held_out(make_sequences, users)
    target = np.arange(len(sequences.items)) % 3 != 1
    sequences = replace(sequences, target=target)
    for window in (VALIDATION, TEST):
        naive = []
        for user, (training, validation, test) in enumerate(users):
            start = int(sequences.offsets[user])
            first = training if window == VALIDATION else training + validation
            last = first + (validation if window == VALIDATION else test)
            wanted = [start + i for i in range(max(first, 1), last) if target[start + i]]
            naive += [(user, position) for position in wanted[:per_user]]
        result = cases(sequences, window, per_user)
        assert list(zip(result.user.tolist(), result.position.tolist(), strict=True)) == naive


@settings(max_examples=80, deadline=None)
@given(users=parts)
def test_no_event_is_in_two_windows_and_none_was_trained_on(
    make_sequences: Make, users: list[tuple[int, int, int]]
) -> None:
    sequences = held_out(make_sequences, users)
    validation, test = (set(cases(sequences, w, 99).position.tolist()) for w in (VALIDATION, TEST))
    trained = ranges(sequences.offsets[:-1], sequences.offsets[:-1] + sequences.split[:, 0])
    assert not validation & test
    assert not (validation | test) & set(trained.tolist())


@settings(max_examples=80, deadline=None)
@given(users=parts)
def test_training_events_and_their_counts_end_before_the_validation_window(
    make_sequences: Make, users: list[tuple[int, int, int]]
) -> None:
    sequences = held_out(make_sequences, users)
    naive = [
        int(start) + event
        for start, (training, _, _) in zip(sequences.offsets[:-1], users, strict=True)
        for event in range(training)
    ]
    assert training_events(sequences).tolist() == naive
    items = [int(sequences.items[event]) for event in naive]
    assert training_counts(sequences, 9).tolist() == [items.count(item) for item in range(10)]


@settings(max_examples=80, deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 4)), max_size=6))
def test_ranges_are_one_after_another(pairs: list[tuple[int, int]]) -> None:
    first = np.array([a for a, _ in pairs], dtype=np.int64)
    last = first + np.array([n for _, n in pairs], dtype=np.int64)
    naive = [i for a, n in pairs for i in range(a, a + n)]
    assert ranges(first, last).tolist() == naive


def test_a_history_is_what_came_before_newest_last(make_sequences: Make) -> None:
    sequences = make_sequences(
        [[1, 2, 3], [4, 5, 6, 7]], behaviours=[1, 2, 1, 2, 1, 2, 1], attributes=[[5], [6]]
    )
    chosen = Cases(np.array([0, 1, 1]), np.array([2, 6, 3]))
    batch = histories(sequences, chosen, ("items", "behaviours"), 2)
    assert batch["items"].tolist() == [[1, 2], [5, 6], [0, 0]]
    assert batch["behaviours"].tolist() == [[1, 2], [1, 2], [0, 0]]
    assert batch["attributes"].tolist() == [[5], [6], [6]]
    assert {array.dtype for array in batch.values()} == {np.dtype(np.int64)}


def test_lags_and_ages_are_those_of_a_request_at_the_moment_of_the_case(
    make_sequences: Make, make_encoder: Any
) -> None:
    """Two in one basket, one later; then the open basket, whose second event is the case."""
    numbers = np.array([0, 0, 1, 2, 2, 3], dtype=np.int32)
    times = np.array([10.0, 10, 70, 100, 100, 5])
    sequences = replace(make_sequences([[1, 2, 3, 4, 5], [1]], baskets=numbers), times=times)
    encoder = make_encoder(5, 9, baskets=True)
    for position, lags, ages in ((4, [3, 3, 2, 1], [90, 90, 30, 0]), (3, [3, 3, 2], [90, 90, 30])):
        case = Cases(np.array([0]), np.array([position]))
        batch = histories(sequences, case, ("items", "lags", "ages"), position + 1)
        assert batch["lags"].tolist() == [[0, *lags]]
        assert batch["ages"].tolist() == [[0, *ages]]
        assert {array.dtype for array in batch.values()} == {np.dtype(np.int64)}
        past = Events(
            np.zeros(position, int), sequences.items[:position].astype(int),
            np.ones(position, int), times[:position], np.full(position, np.nan),
        )  # fmt: skip
        asked = encode_events(encoder, past, now=times[position])
        assert asked["lags"].tolist() == lags and asked["ages"].tolist() == ages


def test_nothing_of_the_case_but_its_moment_and_its_basket_is_read(make_sequences: Make) -> None:
    sequences = make_sequences([[1, 2, 3, 4]])
    other = replace(
        sequences, items=np.array([1, 2, 9, 9]), behaviours=np.array([1, 1, 7, 7]),
        ratings=np.array([0, 0, 7, 7]), gaps=np.array([0, 0, 7, 7]),
    )  # fmt: skip
    case = Cases(np.array([0]), np.array([2]))
    inputs = ("items", "behaviours", "ratings", "gaps", "lags", "ages")
    one, same = (histories(s, case, inputs, 3) for s in (sequences, other))
    for name in inputs:
        np.testing.assert_array_equal(one[name], same[name])


def test_the_length_of_a_history_is_what_came_before(make_sequences: Make) -> None:
    sequences = make_sequences([[1, 2, 3], [4, 5, 6, 7]])
    chosen = Cases(np.array([0, 1, 1]), np.array([2, 6, 3]))
    assert history_lengths(sequences, chosen).tolist() == [2, 3, 0]


def test_gathering_stops_at_the_users_first_event(make_sequences: Make) -> None:
    sequences = make_sequences([[1, 2, 3], [4, 5]])
    batch = gather(sequences, ("items",), np.array([5]), np.array([3]), 4)
    assert batch["items"].tolist() == [[0, 0, 4, 5]]


def test_seen_is_the_whole_history_and_nothing_later(make_sequences: Make) -> None:
    sequences = make_sequences([[1, 2, 3, 4], [5, 1]])
    mask = masked_items(sequences, Cases(np.array([0, 1]), np.array([2, 5])), 5, exclude_seen=True)
    assert np.flatnonzero(mask[0]).tolist() == [0, 1, 2]
    assert np.flatnonzero(mask[1]).tolist() == [0, 5]


def test_without_the_seen_filter_only_the_targets_own_basket_is_masked(
    make_sequences: Make,
) -> None:
    sequences = make_sequences([[1, 2, 3, 4], [5, 1, 2]], baskets=[0, 1, 1, 1, 2, 2, 3])
    chosen = Cases(np.array([0, 0, 1, 1]), np.array([3, 1, 5, 6]))
    mask = masked_items(sequences, chosen, 5, exclude_seen=False)
    assert [np.flatnonzero(row).tolist() for row in mask] == [[0, 2, 3], [0], [0, 5], [0]]


def test_sequences_are_saved_and_mapped_as_they_were(make_sequences: Make, tmp_path: Path) -> None:
    made = make_sequences([[1, 2, 3], [4, 5]], attributes=[[1, 2], [3, 4]])
    made.save(tmp_path / "sequences")
    loaded = Sequences.load(tmp_path / "sequences")
    assert loaded.users == 2
    for field in fields(Sequences):
        before, after = getattr(made, field.name), getattr(loaded, field.name)
        assert isinstance(after, np.memmap)
        assert after.dtype == before.dtype
        assert np.array_equal(after, before)
