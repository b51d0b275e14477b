"""Time cells → seconds since 1970 in UTC; format and unit are inferred from all cells of a file.

Unambiguous cells (a unit by its magnitude, ISO 8601, a month name) are decided one by one. Whether
`3/1/2026` is in January or in March is decided by the other cells of its file, else by the other
files, unless another order gives a shorter time span; else it is an error.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from decant.columns import Columns
from decant.data.sources import dates
from decant.data.tables import text
from decant.features.values import EARLIEST, LATEST
from decant.params.data import TIME_FORMS, TIME_UNITS

UNITS = dict(zip(TIME_UNITS, (1.0, 1e3, 1e6, 1e9), strict=True))
ISO = "iso"
AS_OTHERS = " like the other files, since no cell decides"
KNOWN = (
    "times are read as seconds, milliseconds, microseconds or nanoseconds since 1970, "
    "2026-03-01T12:00:00Z (ISO 8601), 20260301, 20260301120000, 1/3/2026 12:00, 1 Mar 2026; "
    "set ingest.time_format for any other format; 1.7E+12 has lost its last digits"
)
UTC_NAME = "UTC"
_NUMBER = r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?"
_POWER = r"^[+-]?\d(?:\.(?P<decimals>\d*))?[eE]\+?\d+$"
_DECIMALS = 7  # as in 1.7487360E+09, accurate to 100 s; fewer come from a spreadsheet's rounding
_HOURS = r"(?:19|20)\d{8}"  # 2026030112, also a second in 2034
_COMPACT = (8, 12, 14, 17, 20)  # digits of 20260301, 202603011200, …120000, with ms, with µs
_SINCE_1991 = 6.63e17  # nanoseconds; smaller numbers are .NET ticks from the year 1
_CONTRADICTED = 0.05  # tolerated share of decisive cells with another order than most


class AmbiguousTimesError(ValueError):
    """The order of day and month is unclear; `readings`: possible readings of a cell by order."""

    def __init__(self, file: str, cells: int, example: str, readings: dict[str, str]) -> None:
        self.file, self.example, self.readings = file, example, readings
        shown = " or ".join(f"{moment} ({order})" for order, moment in readings.items())
        doubt = (
            "the only time cell does not decide"
            if cells == 1
            else f"none of {cells:,} cells decides"
        )
        super().__init__(
            f"{file}: the time `{example}` may be {shown}, and {doubt} which: set "
            f"ingest.time_format to {' or '.join(readings)}, or to a format such as "
            "`%d/%m/%Y %H:%M`"
        )


class ContradictoryTimesError(ValueError):
    """Some cells of a file can only be day-first and others only month-first."""

    def __init__(self, file: str, examples: dict[str, tuple[str, int]]) -> None:
        self.file, self.examples = file, examples
        shown = " and ".join(
            f"{count:,} only {order}, such as `{cell}`" for order, (cell, count) in examples.items()
        )
        super().__init__(
            f"{file}: contradictory times, {shown}: repair the file, or set "
            f"ingest.time_format to {' or '.join(examples)} (the others go to quarantine)"
        )


@dataclass(frozen=True)
class TimeForm:
    """A format of times: number of cells and files, and an example as written and as read."""

    form: str
    cells: int
    files: int
    file: str
    example: str
    read: str  # ISO 8601, UTC

    def __str__(self) -> str:
        where = self.file if self.files == 1 else f"{self.files:,} files"
        count = f"{self.cells:,} time{'s' if self.cells != 1 else ''} in {where}"
        return f"{count} read as {self.form}: `{self.example}` is {self.read}"


@dataclass
class _Cells:
    """The times of one file. `written` str; `seconds` float64, NaN where not read so far; `form`
    str; `dates`: readings, by order, of the cells that depend on the order, with their index."""

    file: str
    written: pd.Series
    seconds: pd.Series
    form: pd.Series
    dates: pd.DataFrame = field(default_factory=pd.DataFrame)

    def put(self, seconds: pd.Series, form: str) -> None:
        """Store the seconds of cells not read so far."""
        new = seconds[seconds.notna() & self.seconds[seconds.index].isna()]
        self.seconds[new.index] = new
        self.form[new.index] = form

    def unread(self) -> pd.Series:
        """The cells not read so far."""
        return self.written[self.written.notna() & self.seconds.isna()]


def parse_times(
    parts: Sequence[tuple[str, pd.Series]],
    form: str | None = None,
    zone: str = UTC_NAME,
    usual: str | None = None,
) -> tuple[pd.Series, list[TimeForm]]:
    """Read the time cells of one or more files.

    Args:
        parts: names of files and their cells, of any type.
        form: one of `TIME_FORMS` or a strptime format; None: inferred from the cells.
        zone: time zone of times without one.
        usual: the order of day and month if no cell decides; None: that is an error.

    Returns:
        Seconds since 1970 in UTC, float64, of all parts concatenated, NaN where unreadable; the
        formats of the cells, the most frequent first.

    Raises:
        AmbiguousTimesError, ContradictoryTimesError: the order of day and month is unclear.
    """
    files = [_read(file, cells.reset_index(drop=True), form, zone) for file, cells in parts]
    _decide_orders(files, form, usual)
    seconds = [file.seconds for file in files] or [pd.Series(dtype="float64")]
    return pd.concat(seconds, ignore_index=True), _forms(files)


def parse_column(
    values: pd.Series, origin: pd.DataFrame, usual: str | None = None
) -> tuple[pd.Series, list[TimeForm]]:
    """`parse_times` of a column with rows of several files, given by `origin`; keeps the index."""
    names = origin[Columns.FILE].to_numpy()
    changes = np.flatnonzero(names[1:] != names[:-1]) + 1
    starts, ends = [0, *changes], [*changes, len(names)]
    pieces = zip(starts, ends, strict=True) if len(names) else ()
    parts = [(str(names[a]), values.iloc[a:b]) for a, b in pieces]
    seconds, forms = parse_times(parts, usual=usual)
    return pd.Series(seconds.to_numpy(), index=values.index, dtype="float64"), forms


def _read(file: str, values: pd.Series, form: str | None, zone: str) -> _Cells:
    cells = _Cells(
        file,
        text(values),
        pd.Series(np.nan, index=values.index, dtype="float64"),
        pd.Series("", index=values.index, dtype="object"),
    )
    if pd.api.types.is_datetime64_any_dtype(values):
        cells.put(dates.seconds(values, zone), "timestamps")
    elif form in UNITS:
        cells.put(_epochs(cells.unread()) / UNITS[form], f"{form} since 1970")
    elif form is not None and form not in TIME_FORMS:
        cells.put(dates.by_format(cells.unread(), form, zone), f"`{form}`")
    else:
        _guess(cells, form, zone)
    return cells


def _guess(cells: _Cells, form: str | None, zone: str) -> None:
    """Read the unambiguous cells; store the readings of those that depend on the order."""
    if form is None:
        _numeric(cells, zone)
    if len(left := cells.unread()):
        cells.put(dates.iso(left, zone), "ISO 8601")
    if form == ISO or not len(left := cells.unread()):
        return
    cells.put(dates.with_month_names(left, zone), "dates with a month name")
    cells.dates = dates.by_order(cells.unread(), zone)


def _numeric(cells: _Cells, zone: str) -> None:
    """Read compact dates, and epochs in the unit that gives a plausible year.

    Raises:
        AmbiguousTimesError: all could be hours (2026030112) as well as seconds.
    """
    left = cells.unread()
    numbers = left[left.str.fullmatch(_NUMBER)]
    if not len(numbers):
        return
    whole = numbers.str.replace(r"\.0*$", "", regex=True)
    if whole.str.fullmatch(_HOURS).all():
        hours = dates.compact(whole, zone)
        if hours.notna().all():
            first = str(whole.iloc[0])
            readings = {"seconds": moment(float(first)), "%Y%m%d%H": moment(hours.iloc[0])}
            raise AmbiguousTimesError(cells.file, len(whole), first, readings)
    digits = whole[whole.str.len().isin(_COMPACT)]
    if len(digits):
        cells.put(dates.compact(digits, zone), "dates of digits only")
    epochs = _epochs(cells.unread()[cells.unread().index.intersection(numbers.index)])
    for unit, factor in UNITS.items():
        seconds = epochs / factor
        plausible = (seconds >= EARLIEST) & (seconds < LATEST)
        if unit == "nanoseconds":
            plausible &= epochs >= _SINCE_1991
        cells.put(seconds.where(plausible), f"{unit} since 1970")
    cells.put(epochs, "seconds since 1970, in no plausible year")


def _epochs(written: pd.Series) -> pd.Series:
    """Numbers as float64; NaN for other cells, and for exponents if all have been rounded."""
    numbers = pd.to_numeric(written, errors="coerce").astype("float64")
    powers = written[written.str.contains("[eE]")].str.extract(_POWER)["decimals"]
    if powers.notna().any() and powers.str.len().max() < _DECIMALS:
        numbers[powers.index] = np.nan
    return numbers.where(np.isfinite(numbers))


def _decide_orders(files: list[_Cells], form: str | None, usual: str | None) -> None:
    """Decide the order of day and month in each file, and store that reading."""
    if form in dates.ORDERS:
        orders: list[str | None] = [form for _ in files]
    else:
        orders = [_order(file) for file in files]
        decided = {order for order in orders if order}
        for place, file in enumerate(files):
            if orders[place] is None and len(file.dates):
                order = next(iter(decided)) if len(decided) == 1 else usual
                if order is None or (decided and _lies_closer(file.dates, order)):
                    raise _ambiguous(file)
                orders[place] = order
                file.put(file.dates[order], f"{dates.ORDERS[order]}{AS_OTHERS if decided else ''}")
    for file, order in zip(files, orders, strict=True):
        if order and len(file.dates):
            file.put(file.dates[order], dates.ORDERS[order])


def _lies_closer(readings: pd.DataFrame, order: str) -> bool:
    """Whether another order reads as many dates with a shorter time span."""
    whole = readings.loc[:, readings.notna().sum() == readings[order].notna().sum()]
    span = whole.max() - whole.min()
    return bool((span < span[order]).any())


def _order(file: _Cells) -> str | None:
    """The order that reads most of a file's dates; None if several do with different results.

    Raises:
        ContradictoryTimesError: too many cells can only be read in another order.
    """
    if not len(file.dates):
        return None
    valid = file.dates.notna()
    alone = valid[valid.sum(axis=1) == 1].sum()
    if alone.sum() - alone.max() > _CONTRADICTED * alone.sum():
        raise _contradiction(file, valid)
    best = valid.sum().idxmax()
    rivals = [order for order in dates.ORDERS if valid[order].sum() == valid[best].sum()]
    alike = all(file.dates[best].equals(file.dates[order]) for order in rivals)
    return str(best) if alike else None


def _contradiction(file: _Cells, valid: pd.DataFrame) -> ContradictoryTimesError:
    alone = valid[valid.sum(axis=1) == 1]
    examples = {}
    for order in dates.ORDERS:
        index = alone.index[alone[order]]
        if len(index):
            examples[order] = (str(file.written[index[0]]), len(index))
    return ContradictoryTimesError(file.file, examples)


def _ambiguous(file: _Cells) -> AmbiguousTimesError:
    several = file.dates[file.dates.nunique(axis=1) > 1]
    place = several.index[0] if len(several) else file.dates.index[0]
    first = file.dates.loc[place]
    readings = {o: moment(float(first[o]))[:10] for o in dates.ORDERS if pd.notna(first[o])}
    return AmbiguousTimesError(file.file, len(file.dates), str(file.written[place]), readings)


def _forms(files: Iterable[_Cells]) -> list[TimeForm]:
    forms: dict[str, TimeForm] = {}
    for file in files:
        read = file.form[file.seconds.notna()]
        for name in map(str, read.unique()):
            index = np.flatnonzero(read == name)
            before, first = forms.get(name), read.index[index[0]]
            forms[name] = TimeForm(
                name,
                len(index) + (before.cells if before else 0),
                1 + (before.files if before else 0),
                before.file if before else file.file,
                before.example if before else str(file.written[first]),
                before.read if before else moment(float(file.seconds[first])),
            )
    return sorted(forms.values(), key=lambda form: (-form.cells, form.form))


def moment(seconds: float) -> str:
    """A time as readable text; beyond the calendar only its year."""
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return f"the year {1970 + seconds / 31_556_952:.0f}"
    return moment.isoformat(sep=" ", timespec="auto").replace("+00:00", " UTC")
