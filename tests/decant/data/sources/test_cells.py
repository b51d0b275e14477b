import numpy as np
import pandas as pd
import pytest

from decant.data.sources.cells import (
    looks_numeric,
    most_frequent,
    parse_numbers,
    parse_times,
    unparsed,
)

NOON = 1_772_366_405.0  # 2026-03-01T12:00:05Z


def series(*values: object) -> pd.Series:
    return pd.Series(list(values), dtype="str")


@pytest.mark.parametrize(
    "given",
    [
        "2026-03-01T12:00:05Z",
        "2026-03-01 12:00:05",
        "2026-03-01T13:00:05+01:00",
        "2026-03-01T12:00:05.000",
        "1772366405",
        "1772366405000",
        "1772366405000000",
        "1772366405000000000",
        "03/01/2026 12:00:05",
    ],
)
def test_a_time_is_read_in_the_usual_ways_of_writing_it(given: str) -> None:
    assert parse_times(series(given)).tolist() == [NOON]


def test_a_compact_date_is_a_date_and_not_a_second_of_1970() -> None:
    assert parse_times(series("20260301", None)).tolist()[0] == NOON - NOON % 86_400


def test_timestamps_with_and_without_a_zone_are_utc() -> None:
    stamp = pd.Timestamp("2026-03-01 12:00:05")
    assert parse_times(pd.Series([stamp])).tolist() == [NOON]
    assert parse_times(pd.Series([stamp.tz_localize("UTC").tz_convert("Asia/Tokyo")]))[0] == NOON


def test_whether_the_day_comes_first_is_seen_from_all_rows() -> None:
    times = parse_times(series("01/03/2026 12:00:05", "25/12/2025 00:00:00", "13/02/2026 00:00:00"))
    assert times[0] == NOON and times.notna().all()


def test_fractions_of_seconds_are_kept() -> None:
    assert parse_times(series("1772366405.25")).tolist() == [NOON + 0.25]


def test_what_is_no_time_is_missing_and_spoils_nothing_else() -> None:
    times = parse_times(series("2026-03-01T12:00:05Z", "yesterday", None, "2026-02-30T00:00:00Z"))
    assert times.isna().tolist() == [False, True, True, True]
    assert parse_times(series("soon", "later")).isna().all()
    assert str(parse_times(series()).dtype) == "float64"


def test_infinite_and_unreadable_numbers_are_missing() -> None:
    numbers = parse_numbers(series("1.5", "inf", "free", None, "-2"))
    assert numbers.fillna(0).tolist() == [1.5, 0, 0, 0, -2]


def test_a_column_is_numeric_if_nine_in_ten_cells_are() -> None:
    assert looks_numeric(series(*["1"] * 9, "x", None))
    assert not looks_numeric(series(*["1"] * 8, "x", "y"))
    assert not looks_numeric(series(None))


def test_cells_that_are_lost_are_listed_as_they_were_written() -> None:
    given = series("1", "free", None)
    origin = pd.DataFrame({"file": "items.csv", "row": np.arange(2, 5)})
    cells = unparsed("items", "price", given, parse_numbers(given), origin)
    assert cells.to_dict("records") == [
        {"table": "items", "file": "items.csv", "row": 3, "column": "price", "value": "free"}
    ]


def test_the_most_frequent_value_wins_and_of_several_the_first() -> None:
    found = most_frequent(
        series("b", "a", "b", "a", "b", None), series("x", "y", "z", "q", "z", "z")
    )
    assert found.to_dict() == {"b": "z", "a": "y"}
    assert list(found.index) == ["b", "a"]
