from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decant.columns import Columns
from decant.data.tables import (
    EVENT_COLUMNS,
    attribute_values,
    count_cells,
    empty,
    ids,
    in_order_of_arrival,
    make_events,
    markdown,
    no_cells,
    no_items,
    no_users,
    read_frames,
    text,
    with_a_row,
    write_frames,
)
from decant.features.values import attribute_value, identifier, plain_text


def events(source: str, times: list[float]) -> pd.DataFrame:
    size = len(times)
    return make_events(
        {
            Columns.USER: pd.Series(["u"] * size, dtype="str"),
            Columns.ITEM: pd.Series([f"{source}{i}" for i in range(size)], dtype="str"),
            Columns.TIME: pd.Series(times, dtype="float64"),
            Columns.SOURCE: source,
            Columns.FILE: f"{source}.csv",
            Columns.ROW: pd.Series(range(2, size + 2)),
        }
    )


def test_events_have_every_column_with_its_type_and_what_is_not_given_is_missing() -> None:
    table = in_order_of_arrival([events("a", [1.0])])
    assert tuple(table) == EVENT_COLUMNS
    kinds = {"time": "float64", "rating": "float64", "row": "int64", "order": "int64"}
    assert {c: str(table[c].dtype) for c in table} == {c: kinds.get(c, "str") for c in table}
    assert table[[Columns.BEHAVIOUR, Columns.RATING, Columns.MALFORMED]].isna().all(axis=None)


def test_logs_are_merged_by_time_with_ties_in_the_order_of_logs_and_rows() -> None:
    merged = in_order_of_arrival([events("a", [5.0, 1.0, 5.0]), events("b", [1.0, 5.0])])
    assert list(merged[Columns.ITEM]) == ["a1", "b0", "a0", "a2", "b1"]
    assert list(merged[Columns.ORDER]) == [0, 1, 2, 3, 4]


def test_events_without_a_time_come_last_in_the_order_of_their_files() -> None:
    merged = in_order_of_arrival([events("a", [np.nan, 2.0]), events("b", [np.nan, 1.0])])
    assert list(merged[Columns.ITEM]) == ["b1", "a1", "a0", "b0"]


def test_without_a_clock_the_order_of_rows_is_kept() -> None:
    merged = in_order_of_arrival([events("a", [np.nan] * 3)])
    assert list(merged[Columns.ITEM]) == ["a0", "a1", "a2"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (pd.Series([" a ", "", None], dtype="str"), ["a", None, None]),
        (pd.Series([17.0, np.nan, 3.0]), ["17", None, "3"]),
        (pd.Series([1.5, 2.0]), ["1.5", "2"]),
        (pd.Series([28.1, 3], dtype="float32"), ["28.1", "3"]),
        (pd.Series([True, None]), ["true", None]),
        (pd.Series([b"a", None]), ["a", None]),
        (pd.Series([["a", "b"], None]), ["a|b", None]),
        (pd.Series(pd.to_datetime(["2026-03-01", None])), ["2026-03-01", None]),
        (pd.Series(["caf\u0065\u0301\u200b", "\u00a0"], dtype="str"), ["caf\u00e9", None]),
        (pd.Series([7, 8]), ["7", "8"]),
        (pd.Series([2**63 + 1, None], dtype="UInt64"), [str(2**63 + 1), None]),
        (pd.Series([1e300, np.nan]), ["1e+300", None]),
        (pd.Series(["x", None], dtype="category"), ["x", None]),
    ],
)
def test_text_strips_blanks_and_writes_whole_numbers_without_a_point(
    given: pd.Series, expected: list[str | None]
) -> None:
    result = text(given)
    assert str(result.dtype) == "str"
    assert [None if pd.isna(v) else v for v in result] == expected


def test_ids_and_values_have_one_form_each() -> None:
    cells = pd.Series(["12.0", "12", "1e+05", "TRUE", "007.0"], dtype="str")
    assert ids(cells).tolist() == ["12", "12", "100000", "TRUE", "007.0"]
    assert attribute_values(cells).tolist() == ["12", "12", "100000", "true", "007.0"]


CELLS = st.one_of(
    st.none(), st.text(max_size=6), st.integers(), st.floats(), st.booleans(),
    st.decimals(allow_nan=False),
    st.sampled_from(["12.0", "-0", "1e+05", "True", "NULL", "e\u0301", "\u200bx"]),
)  # fmt: skip


@given(st.lists(CELLS, max_size=8))
def test_a_column_is_read_as_its_cells_are_alone(cells: list[Any]) -> None:
    column = pd.Series(cells, dtype=object)
    for of_column, of_cell in (
        (text, plain_text), (ids, identifier), (attribute_values, attribute_value),
    ):  # fmt: skip
        read = [None if pd.isna(value) else value for value in of_column(column)]
        assert read == [of_cell(cell) for cell in cells]


@pytest.mark.parametrize("written", ["1.23457E+12", "1,23457E+12", "8.1E+100"])
def test_an_id_that_a_spreadsheet_has_rounded_makes_its_row_malformed(written: str) -> None:
    table = events("a", [1.0, 2.0]).drop(columns=Columns.MALFORMED)
    table.loc[1, Columns.ITEM] = written
    malformed = make_events(dict(table.items()))[Columns.MALFORMED]
    assert pd.isna(malformed[0])
    assert "the item id is rounded by a spreadsheet" in malformed[1]


@pytest.mark.parametrize("mark", ["\0", "\n", "\x1b", "\x85", "\u2028"])
def test_an_id_with_a_control_character_makes_its_row_malformed(mark: str) -> None:
    table = events("a", [1.0, 2.0]).drop(columns=Columns.MALFORMED)
    table.loc[1, Columns.ITEM] = f"a{mark}1"
    malformed = make_events(dict(table.items()))[Columns.MALFORMED]
    assert malformed.fillna("").tolist() == ["", "a control character or line break in the item"]


def test_ids_with_a_row_in_a_table_are_counted_once_each() -> None:
    log = pd.DataFrame({"user": ["a", "a", "b", None]})
    assert with_a_row(log, pd.DataFrame({"user": ["a", "c"]}), "user") == (1, 2)


def test_frames_come_back_as_they_were_written(tmp_path) -> None:
    frames = {"events": in_order_of_arrival([events("a", [1.0, np.nan])]), "users": no_users()}
    write_frames(frames, tmp_path)
    again = read_frames(tmp_path, frames)
    for name, frame in frames.items():
        pd.testing.assert_frame_equal(again[name], frame)


def test_empty_tables_have_their_columns_and_types() -> None:
    assert list(no_items()) == ["item", "title", "file", "row", "malformed"]
    assert str(empty(("row", "x"))["row"].dtype) == "int64"
    assert count_cells(no_cells()) == {}


def test_markdown_groups_digits_and_escapes_bars() -> None:
    assert markdown(("a", "b"), [(1234, "x|y")]).splitlines()[2] == "| 1,234 | x\\|y |"
