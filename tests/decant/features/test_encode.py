"""Raw events and attributes become the same indices alone and among others."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decant.features.encode import (
    INPUTS,
    MOMENT,
    Attribute,
    Encoder,
    EncoderError,
    Events,
    basket_numbers,
    encode_events,
    gap_indices,
    merge,
    order_behaviours,
    rating_indices,
    right_align,
    scattered,
    tidy,
)

NAN = math.nan
ENCODER = Encoder(
    items=("a", "b", "c"),
    behaviours=("view", "cart", "purchase"),
    attributes={
        "gender": Attribute(values=("F", "M")),
        "age": Attribute(edges=(25.0, 40.0)),
        "empty": Attribute(edges=()),
    },
    max_length=5,
    merge_window=100.0,
    exclude_seen=True,
    rating_edges=(2.0, 4.0),
)


def make(*rows: tuple[int, int, int, float, float]) -> Events:
    """Rows of user, item, behaviour, time, rating."""
    columns = zip(*rows, strict=True) if rows else [()] * 5
    users, items, behaviours, times, ratings = (np.array(c) for c in columns)
    return Events(
        users.astype(np.int64),
        items.astype(np.int64),
        behaviours.astype(np.int64),
        times.astype(np.float64),
        ratings.astype(np.float64),
    )


def rows(events: Events) -> list[tuple[float, ...]]:
    return [tuple(row) for row in np.nan_to_num(np.array(events).T, nan=-1).tolist()]


@pytest.mark.parametrize("value", [28, 28.0, "28", " 28 ", "28.0", np.int64(28), np.float32(28)])
def test_a_numeric_attribute_takes_a_number_in_any_type(value: Any) -> None:
    assert ENCODER.attributes["age"].index(value) == 2


@pytest.mark.parametrize(("value", "expected"), [(24.9, 1), (25, 2), (39, 2), (40, 3), (-5, 1)])
def test_an_edge_belongs_to_the_bin_above(value: float, expected: int) -> None:
    assert ENCODER.attributes["age"].index(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        NAN,
        math.inf,
        "x",
        True,
        [28],
        "nan",
        "inf",
        10**400,
        pytest.param(10**5000, id="huge"),
    ],
)
def test_what_is_no_number_is_unknown_to_a_numeric_attribute(value: Any) -> None:
    assert ENCODER.attributes["age"].index(value) == 0


def test_numbers_written_as_text_in_the_table_are_found_again() -> None:
    codes = Attribute(values=("1", "28", "3.5", "true"))
    assert [codes.index(v) for v in (1, 1.0, "1", 28.0, 3.5, True)] == [1, 1, 1, 2, 3, 4]
    assert Attribute(values=("28.0",)).index(28) == 1
    assert Attribute(values=("False", "True")).index("TRUE") == 2  # as an older release wrote it


@pytest.mark.parametrize(
    "value", [None, "", " ", NAN, "X", "f", 1, False, {}, pytest.param(10**5000, id="huge")]
)
def test_an_unknown_value_of_a_category_is_unknown(value: Any) -> None:
    assert ENCODER.attributes["gender"].index(value) == 0


def test_sizes_count_the_unknown() -> None:
    assert [a.size for a in ENCODER.attributes.values()] == [3, 4, 2]
    assert ENCODER.attribute_indices({"age": 99, "other": 1}).tolist() == [0, 3, 0]


def test_repeats_within_the_window_become_one_event() -> None:
    events = make((0, 1, 1, 0, NAN), (0, 1, 3, 90, 4), (0, 1, 2, 180, NAN), (0, 1, 1, 281, NAN))
    assert rows(merge(events, 100)) == [(0, 1, 3, 0, 4), (0, 1, 1, 281, -1)]


@pytest.mark.parametrize(("apart", "events"), [(100.0, 1), (100.5, 2)])
def test_the_window_of_a_merge_includes_its_end(apart: float, events: int) -> None:
    pair = make((0, 1, 1, 0.0, NAN), (0, 1, 1, apart, NAN))
    assert len(merge(pair, 100.0).items) == events


def test_only_neighbours_merge() -> None:
    events = make((0, 1, 1, 0, NAN), (0, 2, 1, 10, NAN), (0, 1, 3, 20, NAN), (1, 1, 1, 25, NAN))
    assert rows(merge(events, 100)) == rows(events)


def test_events_without_a_clock_never_merge() -> None:
    events = make((0, 1, 1, NAN, NAN), (0, 1, 3, NAN, NAN))
    assert rows(merge(events, 100)) == rows(events)


def test_the_last_rating_known_is_kept() -> None:
    events = make((0, 1, 1, 0, 2), (0, 1, 1, 1, 5), (0, 1, 1, 2, NAN))
    assert merge(events, 100).ratings.tolist() == [5]


def test_nothing_merges_into_nothing() -> None:
    encoded = encode_events(ENCODER, tidy(ENCODER, make()))
    assert {name: len(column) for name, column in encoded.items()} == dict.fromkeys(
        (*INPUTS, *MOMENT), 0
    )


def test_gaps_are_indices_of_the_time_since_the_event_before() -> None:
    users = np.array([0, 0, 0, 0, 1, 1])
    times = np.array([0, 59, 119, 10 * 86400.0, 0, NAN])
    assert gap_indices(users, times).tolist() == [0, 1, 2, 7, 0, 0]


def test_ratings_are_indices_and_none_is_zero() -> None:
    assert rating_indices((2.0, 4.0), np.array([NAN, 1, 2, 3.9, 4, 5])).tolist() == [
        0, 1, 2, 2, 3, 3,
    ]  # fmt: skip


def test_only_the_newest_events_are_kept_and_the_first_of_them_has_its_gap() -> None:
    events = make(*((0, 1 + i % 3, 1, 1000.0 * i, NAN) for i in range(8)))
    encoded = encode_events(ENCODER, tidy(ENCODER, events))
    assert encoded["items"].tolist() == [1, 2, 3, 1, 2]
    assert encoded["gaps"].tolist() == [3] * 5


def test_rows_end_at_the_right_edge() -> None:
    block = right_align([np.array([1, 2, 3]), np.array([4]), np.array([], dtype=int)], 2)
    assert block.tolist() == [[2, 3], [0, 4], [0, 0]]


def test_behaviours_are_ordered_by_strength_and_strangers_come_first() -> None:
    ordered = order_behaviours(["purchase", "view", "wave", "cart", "nod"])
    assert ordered == ("nod", "wave", "view", "cart", "purchase")


def test_an_encoder_survives_the_disk(tmp_path: Path) -> None:
    ENCODER.save(tmp_path / "encoder.json")
    assert Encoder.load(tmp_path / "encoder.json") == ENCODER


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"attributes": 3}', '{"attributes": {}}'])
def test_what_is_no_encoder_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "encoder.json").write_text(content)
    with pytest.raises(EncoderError, match="encoder.json is not a stored encoder"):
        Encoder.load(tmp_path / "encoder.json")


def test_a_later_key_is_refused(tmp_path: Path) -> None:
    ENCODER.save(tmp_path / "encoder.json")
    content = json.loads((tmp_path / "encoder.json").read_text())
    (tmp_path / "encoder.json").write_text(json.dumps({**content, "later": 1}))
    with pytest.raises(EncoderError, match="later"):
        Encoder.load(tmp_path / "encoder.json")


TIMES = st.one_of(st.just(NAN), st.integers(0, 600).map(float))
RATINGS = st.one_of(st.just(NAN), st.integers(1, 5).map(float))
ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(1, 3), TIMES, RATINGS), max_size=30
)


@settings(max_examples=150, deadline=None)
@given(ROWS)
def test_a_user_is_encoded_alone_as_among_others(
    given_rows: list[tuple[int, int, int, float, float]],
) -> None:
    everybody = tidy(ENCODER, make(*given_rows))
    together = {
        "items": everybody.items,
        "behaviours": everybody.behaviours,
        "ratings": rating_indices(ENCODER.rating_edges, everybody.ratings),
        "gaps": gap_indices(everybody.users, everybody.times),
    }
    for user in {row[0] for row in given_rows}:
        own = [(0, *row[1:]) for row in given_rows if row[0] == user]
        alone = encode_events(ENCODER, tidy(ENCODER, make(*own)))
        mine = everybody.users == user
        for name in INPUTS:
            expected = together[name][mine][-ENCODER.max_length :]
            np.testing.assert_array_equal(alone[name], expected, err_msg=name)


@settings(max_examples=100, deadline=None)
@given(ROWS, st.randoms())
def test_the_order_of_events_with_different_times_does_not_matter(
    given_rows: list[tuple[int, int, int, float, float]], random: Any
) -> None:
    timed = [(0, *row[1:3], 50.0 * i, row[4]) for i, row in enumerate(given_rows)]
    shuffled = random.sample(timed, len(timed))
    one, other = (encode_events(ENCODER, tidy(ENCODER, make(*r))) for r in (timed, shuffled))
    for name in INPUTS:
        np.testing.assert_array_equal(one[name], other[name])


@settings(max_examples=100, deadline=None)
@given(ROWS, st.randoms())
def test_in_a_basket_the_order_of_the_rows_does_not_matter(
    given_rows: list[tuple[int, int, int, float, float]], random: Any
) -> None:
    """Every event has one of two moments."""
    sets = replace(ENCODER, baskets=True)
    written = [(0, *row[1:3], 50.0 * (i % 2), row[4]) for i, row in enumerate(given_rows)]
    shuffled = random.sample(written, len(written))
    one, other = (encode_events(sets, tidy(sets, make(*r))) for r in (written, shuffled))
    for name in INPUTS:
        np.testing.assert_array_equal(one[name], other[name])


def test_in_a_basket_no_item_always_comes_first() -> None:
    """Else an item would tell which ones can still follow."""
    moments = np.arange(200.0)
    first = scattered(np.full(200, 1), moments) < scattered(np.full(200, 2), moments)
    assert 70 < first.sum() < 130


def test_events_without_a_time_keep_their_order_and_are_no_basket() -> None:
    sets = replace(ENCODER, baskets=True)
    events = tidy(sets, make(*((0, item, 1, NAN, NAN) for item in (3, 1, 2))))
    assert events.items.tolist() == [3, 1, 2]
    assert basket_numbers(events.users, events.times, True).tolist() == [0, 1, 2]


def test_a_basket_is_what_one_user_took_at_one_moment() -> None:
    users, times = np.array([0, 0, 0, 1, 1]), np.array([1.0, 1.0, 2.0, 2.0, 2.0])
    assert basket_numbers(users, times, True).tolist() == [0, 0, 1, 2, 2]
    assert basket_numbers(users, times, False).tolist() == [0, 1, 2, 3, 4]
    assert basket_numbers(users[:0], times[:0], True).tolist() == []


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_merging_twice_changes_nothing_more_than_once(
    given_rows: list[tuple[int, int, int, float, float]],
) -> None:
    wide = replace(ENCODER, merge_window=0.0)
    once = tidy(wide, make(*given_rows))
    assert rows(tidy(wide, once)) == rows(once)
