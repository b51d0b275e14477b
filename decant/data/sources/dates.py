"""Dates as people and programs write them → seconds since 1970 in UTC, float64, NaN if unreadable.

Every function takes cells as str, none of them missing, and keeps their index. `zone`: the time
zone of cells without one; for an hour that occurs twice the first is taken, a skipped hour is
shifted forward.
"""

from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from decant.features.values import EARLIEST, LATEST

ORDERS = {  # possible orders of a numeric date -> shown as
    "day-first": "day/month/year",
    "month-first": "month/day/year",
    "year-first": "two-digit year/month/day",
}
_TIME = (
    r"(?:[T ,:]+(?P<hour>\d{1,2})[:.h](?P<minute>\d{2})"
    r"(?:[:.](?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?"
    r"\s*(?P<zone>[Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?(?:\[UTC\])?$"
)
_CLOCK = ("hour", "minute", "second")
_WEEKDAY = r"(?:[A-Za-z]{3,9}\.?,?\s+)?"
_YEAR_FIRST = (
    r"^(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P<again>[-/.])(?P<day>\d{1,2})" + _TIME
)
_NUMBERS = (
    r"^(?P<a>\d{1,2})(?P<mark>[-/. ])(?P<b>\d{1,2})(?P<again>[-/. ])(?P<c>\d{4}|\d{1,2})" + _TIME
)
_NAMED = (
    rf"^{_WEEKDAY}(?P<day>\d{{1,2}})[-/. ]\s*(?P<name>[A-Za-z]{{3,9}})[-/., ]+"
    r"(?P<year>\d{4}|\d{2})" + _TIME,
    rf"^{_WEEKDAY}(?P<name>[A-Za-z]{{3,9}})\.?\s+(?P<day>\d{{1,2}}),?\s+(?P<year>\d{{4}})" + _TIME,
)
_CTIME = (
    r"^[A-Za-z]{3} (?P<name>[A-Za-z]{3}) +(?P<day>\d{1,2}) (?P<clock>\d{2}:\d{2}:\d{2})"
    r" (?:[A-Z]+ )?(?P<year>\d{4})$"
)
_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september"),
    *("october", "november", "december"),
)
_ZONED = r"[T ]\d{1,2}(?::?\d{2}).*(?:[Zz]|[+-]\d{2}(?::?\d{2})?)$"


def seconds(stamps: pd.Series, zone: str) -> pd.Series:
    """Timestamps as seconds; those without a zone are local times of `zone`."""
    if getattr(stamps.dtype, "tz", None) is None:
        twice = np.ones(len(stamps), dtype=bool)  # the first of two equal hours
        stamps = stamps.dt.tz_localize(ZoneInfo(zone), ambiguous=twice, nonexistent="shift_forward")
    micros = stamps.dt.tz_convert("UTC").dt.as_unit("us").astype("int64") / 1e6
    return micros.where(stamps.notna()).astype("float64")


def by_format(written: pd.Series, form: str, zone: str) -> pd.Series:
    """Read one strptime format."""
    zoned = "%z" in form
    stamps = pd.to_datetime(written, format=form, errors="coerce", utc=zoned)
    return seconds(stamps, zone)


def iso(written: pd.Series, zone: str) -> pd.Series:
    """Read ISO 8601 and common variants, such as a comma before the fraction."""
    stamps = pd.to_datetime(written, format="ISO8601", utc=True, errors="coerce")
    local = stamps.notna() & ~written.str.contains(_ZONED)
    read = seconds(stamps, zone)
    read[local] = seconds(stamps[local].dt.tz_localize(None), zone)
    parts = _extract(written[read.isna()], _YEAR_FIRST)
    read[parts.index] = _join(parts, parts["year"], parts["month"], parts["day"], zone)
    return read


def compact(digits: pd.Series, zone: str) -> pd.Series:
    """Read plain digits: YYYYMMDD, optionally hours, minutes, seconds and a fraction."""
    pieces = {
        name: digits.str[a:b].where(digits.str.len() >= b, "0")
        for name, (a, b) in {
            "year": (0, 4), "month": (4, 6), "day": (6, 8),
            "hour": (8, 10), "minute": (10, 12), "second": (12, 14),
        }.items()
    }  # fmt: skip
    pieces["fraction"] = digits.str[14:].where(digits.str.len() > 14)
    parts = pd.DataFrame(pieces)[digits.str.fullmatch(r"\d+")]
    read = _join(parts, parts["year"], parts["month"], parts["day"], zone)
    return read.where((read >= EARLIEST) & (read < LATEST)).reindex(digits.index)


def with_month_names(written: pd.Series, zone: str) -> pd.Series:
    """Read dates with English month names: `1 Mar 2026`, `Mar 1, 2026`, ctime, web server logs."""
    read = pd.Series(np.nan, index=written.index, dtype="float64")
    named = written[written.str.contains("[A-Za-z]{3}")]
    ordered = named.str.replace(_CTIME, r"\g<day> \g<name> \g<year> \g<clock>", regex=True)
    for pattern in _NAMED:
        parts = _extract(ordered[read[ordered.index].isna()], pattern)
        read[parts.index] = _join(parts, parts["year"], _months(parts["name"]), parts["day"], zone)
    return read


def by_order(written: pd.Series, zone: str) -> pd.DataFrame:
    """Readings of numeric dates, a column for each of `ORDERS`; rows without any are dropped."""
    parts = _extract(written, _NUMBERS)
    a, b, c = parts["a"], parts["b"], parts["c"]
    year, day = c.where(c.str.len() > 1), c.where(c.str.len() < 3)
    readings = pd.DataFrame(
        {
            "day-first": _join(parts, year, b, a, zone),
            "month-first": _join(parts, year, a, b, zone),
            "year-first": _join(parts, a.where(a.str.len() == 2), b, day, zone),
        }
    )
    return readings[readings.notna().any(axis=1)]


def _extract(written: pd.Series, pattern: str) -> pd.DataFrame:
    """The named groups of a pattern as str, for matching cells; both separators must be equal."""
    cells = pa.array(written.to_numpy(dtype=object), pa.string(), from_pandas=True)
    matches = pc.extract_regex(cells, pattern)
    groups = {field.name: matches.field(field.name) for field in matches.type}
    parts = pd.DataFrame(
        {name: pd.Series(group.to_pandas(), dtype="str") for name, group in groups.items()}
    )
    parts.index = written.index
    matched = pd.Series(matches.is_valid().to_numpy(zero_copy_only=False), index=written.index)
    if "mark" in parts:
        matched &= parts["mark"] == parts["again"]
    return parts[matched].replace("", np.nan)


def _months(names: pd.Series) -> pd.Series:
    """Month names or their prefixes → month numbers as str."""
    return names.map({name: _month(name) for name in names.dropna().unique()}).astype("str")


def _month(name: object) -> str | None:
    """The number of a month from its name or an unambiguous prefix."""
    letters = str(name).lower()
    numbers = [n for n, month in enumerate(_MONTHS, start=1) if month.startswith(letters)]
    return str(numbers[0]) if len(numbers) == 1 and len(letters) >= 3 else None


def _join(
    parts: pd.DataFrame, year: pd.Series, month: pd.Series, day: pd.Series, zone: str
) -> pd.Series:
    """Seconds from the parts of dates; `parts` has those of the time of day."""
    read = pd.Series(np.nan, index=parts.index, dtype="float64")
    whole = pd.DataFrame({"year": _years(year), "month": _number(month), "day": _number(day)})
    clock = _clock(parts)
    fits = whole.notna().all(axis=1) & (whole["year"] >= 1) & clock.notna()
    if not fits.any():
        return read
    days = pd.to_datetime(whole[fits].astype("int64"), errors="coerce")
    stamps = days + pd.to_timedelta(clock[fits] // 1, unit="s")
    read[fits] = _in_zone(stamps, parts.get("zone"), zone) + clock[fits] % 1
    return read


def _clock(parts: pd.DataFrame) -> pd.Series:
    """Seconds since midnight, 0 without a time of day, NaN if it is invalid."""
    hour, minute, second = (_number(parts[name]).fillna(0.0) for name in _CLOCK)
    hour = _of_the_day(hour, parts.get("half"))
    fraction = ("0." + parts["fraction"].fillna("0")).astype("float64")
    fits = (hour < 24) & (minute < 60) & (second < 60)
    return (3600 * hour + 60 * minute + second + fraction).where(fits)


def _number(digits: pd.Series) -> pd.Series:
    """Digits as float64; ten times faster than `pd.to_numeric`, which accepts more than digits."""
    return digits.astype("float64")


def _years(digits: pd.Series) -> pd.Series:
    """Years as numbers; two-digit years are from 1970 to 2069, all others must have four digits."""
    numbers, length = _number(digits), digits.str.len()
    short = numbers + np.where(numbers < 70, 2000, 1900)
    return numbers.where(length == 4).mask(length == 2, short)


def _of_the_day(hour: pd.Series, half: pd.Series | None) -> pd.Series:
    """Hours with am or pm → hours of the day; NaN for invalid ones."""
    if half is None or not half.notna().any():
        return hour
    letter = half.str[0].str.lower()
    of_twelve = (hour % 12 + 12 * letter.eq("p")).where((hour >= 1) & (hour <= 12))
    return hour.where(half.isna(), of_twelve)


def _in_zone(stamps: pd.Series, offset: pd.Series | None, zone: str) -> pd.Series:
    """Local times as seconds; an offset such as +02:00 overrides `zone`."""
    read = seconds(stamps, zone)
    offsets = offset[stamps.index].dropna() if offset is not None else None
    if offsets is None or not len(offsets):
        return read
    shift = offsets.str.extract(r"(?P<sign>[+-])(?P<hours>\d{2}):?(?P<minutes>\d{2})?").fillna("0")
    amount = shift["hours"].astype("int64") * 3600 + shift["minutes"].astype("int64") * 60
    at_utc = seconds(stamps[offsets.index], "UTC")
    read[offsets.index] = at_utc - amount.where(shift["sign"] != "-", -amount)
    return read
