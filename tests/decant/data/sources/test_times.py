"""A form and a unit are decided from all cells, or it is an error that shows the readings."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decant.data.sources import dates
from decant.data.sources.times import (
    AmbiguousTimesError,
    ContradictoryTimesError,
    parse_column,
    parse_times,
)
from decant.params.data import TIME_FORMS

NOON = 1_772_366_405.0  # 2026-03-01T12:00:05Z
MIDNIGHT = NOON - NOON % 86_400


def series(*values: object) -> pd.Series:
    return pd.Series(list(values), dtype="str")


def read(*values: object, form: str | None = None, zone: str = "UTC") -> list[float | None]:
    """The seconds of cells of one file, None where there is no time."""
    seconds, _ = parse_times([("f.csv", series(*values))], form, zone)
    return [None if np.isnan(second) else second for second in seconds]


def utc(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    "cell",
    [
        "2026-03-01T12:00:05Z",
        "2026-03-01 12:00:05",
        "2026-03-01T13:00:05+01:00",
        "2026-03-01 13:00:05 +0100",
        "2026-03-01T12:00:05.000",
        "2026-03-01 12:00:05,000",
        "2026-03-01T12:00:05+00:00[UTC]",
        "2026/03/01 12:00:05",
        "2026.3.1 12:00:05 UTC",
        "20260301T120005",
        "1772366405",
        "1772366405.0",
        "1772366405000",
        "1772366405000000",
        "1772366405000000000",
        "20260301120005",
        "20260301120005000",
        "20260301120005000000",
        "1 Mar 2026 12:00:05",
        "01-March-2026 12:00:05",
        "Mar 1, 2026 12:00:05 PM",
        "Sun, 01 Mar 2026 12:00:05 GMT",
        "Sun Mar  1 12:00:05 2026",
        "01/Mar/2026:14:00:05 +0200",
    ],
)
def test_a_cell_that_tells_its_form_is_read_alone(cell: str) -> None:
    assert read(cell) == [NOON]


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("20260301", MIDNIGHT),
        ("202603011200", MIDNIGHT + 43_200),
        ("20260301120005123", NOON + 0.123),
        ("1772366405.25", NOON + 0.25),
        ("1.7000000e+09", 1.7e9),
        ("1.748736000E+12", 1748736000.0),
    ],
)
def test_digits_alone_are_a_date_or_an_epoch_by_their_size(cell: str, seconds: float) -> None:
    assert read(cell) == [pytest.approx(seconds, abs=1e-6)]


@pytest.mark.parametrize(
    "cell",
    [
        "yesterday",
        "2026-02-30",
        "2026-13-01",
        "24:00",
        "1.7E+12",
        "31.02.2026",
        "1 Mai 2026",
        "nan",
    ],
)
def test_what_is_no_time_is_missing_and_spoils_nothing_else(cell: str) -> None:
    assert read("2026-03-01T12:00:05Z", cell, None) == [NOON, None, None]
    assert read(cell, cell, "13.12.2010 08:27")[:2] == [None, None]


def test_one_unreadable_cell_in_front_does_not_decide_the_form() -> None:
    assert read("unknown", "13.12.2010 08:27", "14.12.2010 08:27") == [
        None,
        utc(2010, 12, 13, 8, 27),
        utc(2010, 12, 14, 8, 27),
    ]


def test_each_epoch_is_read_in_the_unit_that_gives_a_plausible_year() -> None:
    mixed = ["1700000000", "1700000000000", "1700000000000000", "1700000000000000000"]
    assert read(*mixed) == [1.7e9] * 4
    seconds, forms = parse_times([("a.csv", series(mixed[0])), ("b.csv", series(mixed[1]))])
    assert seconds.tolist() == [1.7e9] * 2
    assert [form.form for form in forms] == ["milliseconds since 1970", "seconds since 1970"]


@pytest.mark.parametrize("cell", ["12", "46082.35", "-5", "5000000000", "638400000000000000"])
def test_a_number_of_no_plausible_year_is_left_as_it_is_and_named(cell: str) -> None:
    seconds, (form,) = parse_times([("f.csv", series(cell))])
    assert seconds.tolist() == [float(cell)]
    assert "in no plausible year" in form.form


def test_whether_the_day_comes_first_is_seen_from_all_cells() -> None:
    assert read("01/03/2026 12:00:05", "25/12/2025", "13/02/2026")[0] == NOON
    assert read("03/01/2026 12:00:05", "12/25/2025", "2/13/2026")[0] == NOON


def test_a_file_that_cannot_tell_day_and_month_follows_the_others() -> None:
    message, untold = series("13/3/2026"), series("1/3/2026")
    seconds, _ = parse_times([("a", untold), ("b", message)])
    assert seconds.tolist() == [MIDNIGHT, MIDNIGHT + 12 * 86_400]


def test_files_that_tell_different_orders_are_read_each_in_its_own() -> None:
    seconds, _ = parse_times([("a", series("13/3/2026", "1/3/2026")), ("b", series("3/13/2026"))])
    assert seconds.tolist() == [MIDNIGHT + 12 * 86_400, MIDNIGHT, MIDNIGHT + 12 * 86_400]


def test_where_no_cell_tells_day_from_month_both_readings_are_shown() -> None:
    with pytest.raises(AmbiguousTimesError) as caught:
        read("1/1/2024", "2/1/2024", "3/1/2024", "unknown")
    assert str(caught.value) == (
        "f.csv: the time `2/1/2024` may be 2024-01-02 (day-first) or 2024-02-01 (month-first), and "
        "none of 3 cells decides which: set ingest.time_format to day-first or month-first, or to "
        "a format such as `%d/%m/%Y %H:%M`"
    )


@pytest.mark.parametrize(
    "parts",
    [
        [("a", series("1/3/2026")), ("b", series("13/3/2026")), ("c", series("3/13/2026"))],
        [("a", series("2026030112", "2026030213"))],  # hours, or seconds of 2034
        [("a", series("01/03/26"))],
        [("a", series("25/12/31"))],  # 25 December 2031, or the last day of 2025
    ],
)
def test_what_nothing_decides_is_an_error(parts: list[tuple[str, pd.Series]]) -> None:
    with pytest.raises(AmbiguousTimesError, match="a: the time"):
        parse_times(parts)


def test_seconds_that_look_like_hours_now_and_then_are_seconds() -> None:
    assert read("2026030112", "2026039999") == [2026030112.0, 2026039999.0]


def test_a_file_of_both_orders_is_an_error_and_a_slip_is_not() -> None:
    both = ["13/1/2024", "1/13/2024"]
    with pytest.raises(
        ContradictoryTimesError, match="1 only day-first, such as `13/1/2024` and 1 only"
    ):
        read(*both)
    days = [f"{day}/1/2024" for day in range(13, 32)]
    assert read(*days * 2, "1/13/2024")[-1] is None


def test_dates_that_read_alike_in_both_orders_need_no_decision() -> None:
    assert read("3/3/2026", "4/4/2026") == [utc(2026, 3, 3), utc(2026, 4, 4)]


DAYS_OF_JULY = [f"07/0{day}/2025" for day in range(1, 9)]  # month first


def test_a_file_that_does_not_tell_the_order_is_read_as_the_others_and_that_is_said() -> None:
    message, untold = series("13/1/2025", "14/1/2025"), series("1/2/2025", "2/2/2025", "12/2/2025")
    seconds, forms = parse_times([("a.csv", message), ("b.csv", untold)])
    assert seconds.tolist()[2:] == [utc(2025, 2, 1), utc(2025, 2, 2), utc(2025, 2, 12)]
    assert [str(form) for form in forms] == [
        "3 times in b.csv read as day/month/year like the other files, since no cell decides: "
        "`1/2/2025` is 2025-02-01 00:00:00 UTC",
        "2 times in a.csv read as day/month/year: `13/1/2025` is 2025-01-13 00:00:00 UTC",
    ]


def test_a_file_whose_dates_lie_closer_in_another_order_than_the_others_is_an_error() -> None:
    parts = [("a.csv", series("13/1/2025", "14/1/2025")), ("b.csv", series(*DAYS_OF_JULY))]
    with pytest.raises(
        AmbiguousTimesError, match=r"^b\.csv: the time `07/01/2025` may be 2025-01-07"
    ):
        parse_times(parts)


@pytest.mark.parametrize("cells", [["1.74874e+09"], ["1.75E+12", "1.7E+12"], ["1.748736E+12"]])
@pytest.mark.parametrize("form", [None, "seconds", "milliseconds"])
def test_times_that_a_spreadsheet_has_rounded_are_not_read(
    cells: list[str], form: str | None
) -> None:
    seconds, _ = parse_times([("a", series(*cells, "1748736258"))], form)
    assert seconds[: len(cells)].isna().all() and seconds.iloc[-1] > 0


def test_rounded_numbers_beside_an_exact_one_have_lost_nothing() -> None:
    assert read("1.7487e+09", "1.748736258e+09") == [1748700000.0, 1748736258.0]


def test_the_usual_order_of_a_source_decides_where_no_cell_does() -> None:
    origin = pd.DataFrame({"file": ["a", "a"]})
    seconds, _ = parse_column(series("12/1/2010 8:26", "12/2/2010 8:26"), origin, "month-first")
    assert seconds[0] == utc(2010, 12, 1, 8, 26)


@pytest.mark.parametrize(
    ("form", "cell", "seconds"),
    [
        ("day-first", "1/3/2026 12:00:05", NOON),
        ("month-first", "3/1/26 12:00:05 PM", NOON),
        ("year-first", "26/3/1 12:00:05", NOON),
        ("%d/%m/%y %H.%M.%S", "01/03/26 12.00.05", NOON),
        ("%Y%m%d%H", "2026030112", NOON - 5),
        ("%Y-%m-%dT%H:%M:%S%z", "2026-03-01T13:00:05+0100", NOON),
        ("seconds", "2026030112", 2026030112.0),
        ("milliseconds", "1772366405000", NOON),
        ("iso", "2026-03-01T12:00:05", NOON),
    ],
)
def test_a_form_that_is_given_settles_it(form: str, cell: str, seconds: float) -> None:
    assert read(cell, "soon", form=form) == [seconds, None]


def test_a_form_that_is_given_is_the_only_one() -> None:
    assert read("1772366405", form="day-first") == [None]
    assert read("1/3/2026", form="iso") == [None]
    assert set(dates.ORDERS) < set(TIME_FORMS)


@pytest.mark.parametrize(
    ("cell", "hour"), [("12:05 am", 0), ("12:05 PM", 12), ("8:05 p.m.", 20), ("8:05 AM", 8)]
)
def test_a_clock_of_twelve_hours_is_read(cell: str, hour: int) -> None:
    assert read(f"1/13/2026 {cell}") == [utc(2026, 1, 13, hour, 5)]


def test_an_hour_that_no_clock_of_twelve_has_is_missing() -> None:
    assert read("1/13/2026 13:05 PM") == [None]


def test_times_without_a_zone_are_of_the_zone_that_is_set() -> None:
    berlin = {"zone": "Europe/Berlin"}
    assert read("2026-07-01 12:00", "2026-07-01T12:00Z", **berlin) == [
        utc(2026, 7, 1, 10),
        utc(2026, 7, 1, 12),
    ]
    assert read("20260701120000", **berlin) == [utc(2026, 7, 1, 10)]
    assert read("31.12.2025 12:00", "31.12.2025 12:00 +05:00", **berlin) == [
        utc(2025, 12, 31, 11),
        utc(2025, 12, 31, 7),
    ]
    assert read("1772366405", **berlin) == [NOON]


def test_hours_that_a_clock_shows_twice_or_never_are_read() -> None:
    twice, never = read("2024-10-27 02:30", "2024-03-31 02:30", zone="Europe/Berlin")
    assert twice == utc(2024, 10, 27, 0, 30)
    assert never == utc(2024, 3, 31, 1)


def test_cells_with_types_are_read_as_what_they_are() -> None:
    stamp = pd.Timestamp("2026-03-01 12:00:05")
    tokyo = stamp.tz_localize("UTC").tz_convert("Asia/Tokyo")
    parts = [
        ("a", pd.Series([stamp, None])),
        ("b", pd.Series([tokyo])),
        ("c", pd.Series([1772366405, None], dtype="Int64")),
        ("d", pd.Series([1772366405.0, 1772366405000.0])),
        ("e", pd.Series([stamp.date()], dtype=object)),
    ]
    seconds, _ = parse_times(parts)
    assert seconds.fillna(0).tolist() == [NOON, 0, NOON, NOON, 0, NOON, NOON, MIDNIGHT]
    assert parse_times(parts[:1], zone="Asia/Tokyo")[0][0] == NOON - 9 * 3600


def test_what_was_decided_is_said_with_an_example() -> None:
    cells = series("1700000600000", "1700001800000", None)
    _, (form,) = parse_times([("app.csv", cells)])
    assert str(form) == (
        "2 times in app.csv read as milliseconds since 1970: `1700000600000` is 2023-11-14 "
        "22:23:20 UTC"
    )
    assert str(parse_times([("a", cells), ("b", cells)])[1][0]).startswith(
        "4 times in 2 files read"
    )


def test_nothing_is_read_from_nothing() -> None:
    assert parse_times([])[0].tolist() == []
    assert parse_column(series(), pd.DataFrame({"file": []}))[0].tolist() == []
    assert str(parse_times([("a", series(None))])[0].dtype) == "float64"


MOMENTS = st.datetimes(datetime(1991, 1, 1), datetime(2099, 12, 31)).map(
    lambda moment: moment.replace(microsecond=0)
)
WRITTEN = {
    "iso": lambda m: m.isoformat(),
    "seconds": lambda m: str(int(m.replace(tzinfo=UTC).timestamp())),
    "milliseconds": lambda m: str(int(m.replace(tzinfo=UTC).timestamp()) * 1000),
    "digits": lambda m: m.strftime("%Y%m%d%H%M%S"),
    "day first": lambda m: m.strftime("%d.%m.%Y %H:%M:%S"),
    "month first": lambda m: m.strftime("%m/%d/%Y %I:%M:%S %p"),
    "name": lambda m: m.strftime("%d-%b-%Y %H:%M:%S"),
}


@settings(max_examples=60, deadline=None)
@given(st.lists(MOMENTS, min_size=1, max_size=6), st.sampled_from(sorted(WRITTEN)))
def test_a_log_is_read_as_it_was_written_or_not_at_all(moments: list[datetime], way: str) -> None:
    expected = [moment.replace(tzinfo=UTC).timestamp() for moment in moments]
    try:
        assert read(*map(WRITTEN[way], moments)) == expected
    except AmbiguousTimesError:
        assert way in ("day first", "month first", "seconds")
