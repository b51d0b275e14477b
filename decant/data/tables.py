"""The three tables of a source, and their form on disk.

`events`: user, item, behaviour, time, rating, source, file, row, malformed, order (types:
`Columns`). `users`: user, then attributes, file, row, malformed. `items`: item, title, then the
same.
A numeric attribute is float64 with NaN for missing; any other is str.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from decant.columns import Columns
from decant.features.values import attribute_value, identifier, plain_text

EVENT_COLUMNS = (
    Columns.USER,
    Columns.ITEM,
    Columns.BEHAVIOUR,
    Columns.TIME,
    Columns.RATING,
    Columns.SOURCE,
    Columns.FILE,
    Columns.ROW,
    Columns.MALFORMED,
    Columns.ORDER,
)
ORIGIN = (
    Columns.FILE,
    Columns.ROW,
    Columns.MALFORMED,
)  # of a row, and its problem
CELL_COLUMNS = ("table", Columns.FILE, Columns.ROW, "column", "value")
NAMES = ("events", "users", "items")
_CONTROL = r"[\x00-\x1f\x7f-\x9f\u2028\u2029]"
_ROUNDED = r"^\d[.,]\d+E\+\d{2,3}$"  # 1.23457E+12


def empty(columns: Sequence[str]) -> pd.DataFrame:
    """A table without rows; all columns are text except `row`."""
    return pd.DataFrame(
        {name: pd.Series(dtype="int64" if name == Columns.ROW else "str") for name in columns}
    )


def no_cells() -> pd.DataFrame:
    """An empty table of unparsed cells."""
    return empty(CELL_COLUMNS)


@dataclass(frozen=True)
class Tables:
    """The tables of a source.

    `unparsed`: cells that could not be read (table, file, row, column, value); the value is
    missing in its table. `clock`: events have times. `used`: the files read.
    `vectors`: externally computed item vectors (item, vector) by the name of their modality.
    `notes`: a line for each decision made while reading: formats of times, spellings of a missing
    value, the type of a column, the order of files.
    """

    events: pd.DataFrame
    users: pd.DataFrame
    items: pd.DataFrame
    unparsed: pd.DataFrame = field(default_factory=no_cells)
    clock: bool = True
    used: tuple[str, ...] = ()
    vectors: dict[str, pd.DataFrame] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def text(values: pd.Series) -> pd.Series:
    """Cells as clean str (see `decant.features.values`); an empty cell is missing."""
    return _each(values, plain_text)


def ids(values: pd.Series) -> pd.Series:
    """Ids as str in canonical form: the number 12.0 and the text `12` are `12`."""
    return _each(values, identifier)


def attribute_values(values: pd.Series) -> pd.Series:
    """Attribute values as str in canonical form: `TRUE` and true are `true`."""
    return _each(values, attribute_value)


def _each(values: pd.Series, form: Callable[[Any], str | None]) -> pd.Series:
    """Apply `form` to every cell, once per distinct value."""
    kind = values.dtype
    if isinstance(kind, pd.CategoricalDtype):
        values = values.astype(kind.categories.dtype)
    elif pd.api.types.is_float_dtype(kind) and str(kind).lower() != "float64":
        values = values.astype("str").astype("float64")  # 28.1 in 32 bits is 28.1
    elif not pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_string_dtype(kind):
        values = values.astype("str").where(values.notna())  # timestamps etc.
    if values.dtype == object:
        values = values.map(_cell, na_action="ignore").astype("str")
    codes, different = pd.factorize(values)
    texts = np.array([*map(form, different), None], dtype=object)  # code -1: missing
    return pd.Series(texts[codes], index=values.index, dtype="str")


def _cell(cell: Any) -> str | None:
    """A cell of an object column as text: bytes decoded, the parts of a list joined by `|`."""
    if isinstance(cell, bytes):
        return cell.decode("utf-8", errors="replace")
    if isinstance(cell, list | tuple | set | np.ndarray):
        return "|".join(filter(None, map(plain_text, cell))) or (str(cell) if len(cell) else None)
    scalar = isinstance(cell, str | int | float | bool | np.generic | Decimal)
    return plain_text(cell) if scalar else str(cell)


def malformed_ids(table: pd.DataFrame, names: Sequence[str]) -> pd.Series:
    """The table's `malformed`, where missing filled with the first problem of the columns `names`:
    a control character or line break, which an id cannot contain, or lost digits."""
    malformed = table[Columns.MALFORMED]
    for name in names:
        different = pd.Series(table[name].dropna().unique(), dtype="str")
        for pattern, problem in (
            (_CONTROL, f"a control character or line break in the {name}"),
            (_ROUNDED, f"the {name} id is rounded by a spreadsheet: export it as text"),
        ):
            wrong = different[different.str.contains(pattern)]
            if len(wrong):
                malformed = malformed.mask(malformed.isna() & table[name].isin(wrong), problem)
    return malformed


def make_events(columns: dict[str, pd.Series | str | float]) -> pd.DataFrame:
    """Build an events table in the order of its rows, without `order`.

    `columns` has at least user and item; the values of other columns are then missing.
    """
    size = len(columns[Columns.ITEM])  # type: ignore[arg-type]
    table = pd.DataFrame(index=pd.RangeIndex(size))
    for name in EVENT_COLUMNS[:-1]:
        value = columns.get(name, np.nan)
        table[name] = value.reset_index(drop=True) if isinstance(value, pd.Series) else value
        if name == Columns.ROW:
            table[name] = table[name].astype("int64")
        elif name in (Columns.TIME, Columns.RATING):
            table[name] = table[name].astype("float64")
        elif name in (Columns.USER, Columns.ITEM):
            table[name] = ids(table[name])
        else:
            table[name] = text(table[name])
    named = (Columns.USER, Columns.ITEM, Columns.BEHAVIOUR)
    table[Columns.MALFORMED] = malformed_ids(table, named)
    return table


def in_order_of_arrival(logs: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Merge logs into one table with `order` 0..n-1.

    A stable sort by time, if there are times: ties keep the order of logs and rows. Events
    without a time come last, in the same order.
    """
    events = pd.concat(list(logs), ignore_index=True)
    if events[Columns.TIME].notna().any():
        place = np.argsort(events[Columns.TIME].to_numpy(), kind="stable")  # NaN sorts last
        events = events.iloc[place].reset_index(drop=True)
    return events.assign(**{Columns.ORDER: np.arange(len(events), dtype=np.int64)})


def with_a_row(events: pd.DataFrame, table: pd.DataFrame, key: str) -> tuple[int, int]:
    """Number of distinct ids `key` of the events that have a row in the table, and of all."""
    ids = pd.Series(events[key].dropna().unique())
    return int(ids.isin(table[key]).sum()), len(ids)


def no_users() -> pd.DataFrame:
    """The users table of a source without one."""
    return empty((Columns.USER, *ORIGIN))


def no_items() -> pd.DataFrame:
    """The items table of a source without one."""
    return empty((Columns.ITEM, Columns.TITLE, *ORIGIN))


def count_cells(cells: pd.DataFrame) -> dict[str, int]:
    """Number of unparsed cells for each `table.column`."""
    names = cells["table"] + "." + cells["column"]
    return {str(name): int(count) for name, count in names.value_counts().items()}


def write_frames(frames: dict[str, pd.DataFrame], folder: Path) -> None:
    """Write each frame to `<folder>/<name>.parquet`."""
    for name, frame in frames.items():
        frame.to_parquet(folder / f"{name}.parquet", index=False)


def read_frames(folder: Path, names: Iterable[str] = NAMES) -> dict[str, pd.DataFrame]:
    """Read frames written by `write_frames`, by name."""
    return {name: pd.read_parquet(folder / f"{name}.parquet") for name in names}


def markdown(header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    """A Markdown table; whole numbers with thousands separators."""

    def cell(value: object) -> str:
        return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")

    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines)
