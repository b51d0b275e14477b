"""Text cells → times and numbers; what cannot be read becomes missing, and is kept as it was."""

import numpy as np
import pandas as pd
from pandas.tseries.api import guess_datetime_format

from decant.columns import Columns
from decant.data.tables import CELL_COLUMNS, text

NUMERIC_SHARE = 0.9  # a column with at least this share of numbers is a numeric one
_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))  # epochs in ns, µs, ms
_COMPACT = (19_000_101, 22_001_231)  # 20260301 is a date, not a second of August 1970


def parse_numbers(values: pd.Series) -> pd.Series:
    """As float64; NaN where there is no finite number."""
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    return numbers.where(np.isfinite(numbers))


def looks_numeric(values: pd.Series) -> bool:
    """Whether nearly all cells that are there are numbers."""
    present = values.dropna()
    return len(present) > 0 and float(parse_numbers(present).notna().mean()) >= NUMERIC_SHARE


def parse_times(values: pd.Series, form: str | None = None) -> pd.Series:
    """Seconds since the epoch in UTC, float64; NaN where there is no time.

    Accepts epochs (s, ms, µs or ns, told apart by size), ISO 8601, timestamps, and any one other
    format that most rows share. Without a zone, UTC is meant. `form` is a strptime format.
    """
    if pd.api.types.is_datetime64_any_dtype(values):
        return _seconds(pd.to_datetime(values, utc=True))
    if form is None:
        numbers = parse_numbers(values)
        if numbers.notna().sum() > 0.5 * values.notna().sum():
            return _epochs(numbers)
        form = "ISO8601"
    stamps = pd.to_datetime(values, format=form, utc=True, errors="coerce")
    if stamps.notna().sum() < 0.5 * values.notna().sum():
        stamps = _in_other_format(values, stamps)
    return _seconds(stamps)


def unparsed(
    table: str, column: str, values: pd.Series, parsed: pd.Series, origin: pd.DataFrame
) -> pd.DataFrame:
    """The cells of `values` that are there but have no counterpart in `parsed`.

    `origin` holds file and row of each; all three are aligned by position.
    """
    lost = values.notna().to_numpy() & parsed.isna().to_numpy()
    found = origin.loc[lost, [Columns.FILE, Columns.ROW]].reset_index(drop=True)
    found = found.assign(table=table, column=column, value=text(values[lost]).to_numpy())
    return found[list(CELL_COLUMNS)].astype(
        {c: "int64" if c == Columns.ROW else "str" for c in CELL_COLUMNS}
    )


def most_frequent(keys: pd.Series, values: pd.Series) -> pd.Series:
    """For each key, in order of first appearance, its most frequent value; of several, the first.

    Index: keys. Missing values do not count.
    """
    present = keys.notna() & values.notna()
    pairs = pd.DataFrame({"key": keys[present], "value": values[present]})
    counts = pairs.groupby(["key", "value"], sort=False).size().reset_index(name="count")
    best = counts.loc[counts.groupby("key", sort=False)["count"].idxmax()]
    return pd.Series(best["value"].array, index=pd.Index(best["key"]))


def _epochs(numbers: pd.Series) -> pd.Series:
    middle = numbers.median()
    if _COMPACT[0] <= middle <= _COMPACT[1]:
        days = numbers.astype("Int64").astype("str")
        return _seconds(pd.to_datetime(days, format="%Y%m%d", utc=True, errors="coerce"))
    for limit, unit in _UNITS:
        if abs(middle) >= limit:
            return numbers / unit
    return numbers


def _in_other_format(values: pd.Series, stamps: pd.Series) -> pd.Series:
    """Read as the first cell is written, month before day or after it: what fits more rows."""
    present = values.dropna().astype("str")
    for dayfirst in (False, True):
        form = guess_datetime_format(present.iloc[0], dayfirst=dayfirst) if len(present) else None
        if form is not None:
            other = pd.to_datetime(values, format=form, utc=True, errors="coerce")
            stamps = other if other.notna().sum() > stamps.notna().sum() else stamps
    return stamps


def _seconds(stamps: pd.Series) -> pd.Series:
    micros = stamps.dt.as_unit("us").astype("int64") / 1e6
    return micros.where(stamps.notna()).astype("float64")
