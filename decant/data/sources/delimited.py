"""Read tables as text, with the file and line of every row; check columns by name."""

import csv
import io
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from decant.columns import Columns
from decant.data.sources.csv_lines import miscounted, read_records
from decant.data.sources.files import (
    UnreadableTableError,
    decode,
    name_within,
    read_content,
    split_lines,
)
from decant.data.tables import ids, text
from decant.features.values import clean
from decant.params.data import DELIMITERS
from decant.suggest import suggest

PARQUET = (".parquet", ".pq")
TAB_SEPARATED = (".tsv", ".tab")
UUID_BYTES = 16
NOT_IDS = "holds lists, objects, bytes or booleans: an id must be a text or a whole number"
NAMES = {mark: name for name, mark in DELIMITERS.items()}
# pandas would convert them to floats if one is missing, and large ids would collide
_EXACT = {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype()}


class MissingColumnError(ValueError):
    """A table lacks a column; the message has the file, the nearest name and all columns."""

    def __init__(
        self,
        file: str,
        column: str,
        columns: Sequence[str],
        setting: str = "",
        same_ids: str | None = None,
    ) -> None:
        self.file, self.column, self.columns = file, column, list(columns)
        hint = suggest(column, columns, "columns", also_list=True, ignore_case=True)
        if same_ids is not None:
            hint = f"`{same_ids}` holds the ids of the events; columns: {', '.join(columns)}"
        what = f"`{column}`" + (f" ({setting})" if setting else "")
        super().__init__(f"{file}: no column {what}; {hint}")


class EmptyLogError(ValueError):
    """The logs have no rows."""

    def __init__(self, files: Sequence[str]) -> None:
        self.files = list(files)
        shown = ", ".join(files[:4]) + (f" and {len(files) - 4} more" if len(files) > 4 else "")
        super().__init__(f"{shown}: no events; there is nothing to train on")


@dataclass(frozen=True)
class Table:
    """Rows of one or more files. `cells`: the columns; `origin`: file, row and problem of each
    line, aligned with `cells`. `note`: a detected property of the file, if any."""

    cells: pd.DataFrame
    origin: pd.DataFrame
    note: str | None = None

    def __len__(self) -> int:
        return len(self.cells)

    def column(self, name: str) -> pd.Series:
        """One column as clean text, empty cells missing."""
        return text(self.cells[name])

    def ids(self, name: str) -> pd.Series:
        """A column of ids in canonical form.

        Raises:
            UnreadableTableError: its cells are lists, bytes or booleans, or numbers too large to
                be distinguished.
        """
        values = self.cells[name]
        rows, problem = unusable_ids(values)
        if rows.any():
            file = str(self.origin.loc[rows, Columns.FILE].iloc[0])
            raise UnreadableTableError(file, f"`{name}` {problem} (rows: {int(rows.sum()):,})")
        return ids(values)


def read_table(
    path: Path,
    root: Path,
    *,
    columns: Sequence[str] | None = None,
    separator: str | None = None,
    encoding: str = "utf-8-sig",
    needed: Sequence[str] = (),
) -> Table:
    """Read one delimited (also .gz …) or Parquet file; cells of delimited text stay text.

    `columns` are the names for a file without a header. Without a `separator` it is detected: the
    first one that yields the `needed` columns. `row` counts lines from 1, the header included. A
    malformed line (too many fields, a stray quotation mark) is a row of missing cells with the
    problem in `malformed`.

    Raises:
        UnreadableTableError: empty, wrong encoding, duplicate column names, not in the format of
            its suffix.
    """
    file = name_within(path, root)
    if _suffix(path) in PARQUET:
        return with_origin(_read_parquet(path, file), file, first_row=1)
    content = read_content(path, file)
    header = int(columns is None)
    usual = "\t" if _suffix(path) in TAB_SEPARATED else ","
    try:
        separator = separator or find_separator(content, encoding, usual, needed)
        names = (
            list(columns) if columns is not None else _header(content, file, separator, encoding)
        )
        cells = _read_lines(content, separator, encoding, names, header)
    except UnicodeDecodeError:
        decode(content, file, encoding)  # raises with the line number
        raise
    if cells is not None:
        table = with_origin(cells, file, first_row=1 + header)
    else:
        text_of_it = decode(content, file, encoding)
        table = _read_records(text_of_it, file, separator, names, header)
    unusual = separator not in (usual, None) and columns is None
    note = (
        f"{file}: fields are separated by {NAMES.get(separator, separator)}s" if unusual else None
    )
    return replace(table, note=note)


def find_separator(content: bytes, encoding: str, usual: str, needed: Sequence[str]) -> str:
    """The field separator of a file, detected from its header.

    The first one, beginning with `usual`, that yields all `needed` columns; else the one that
    yields the most columns, blanks excluded.
    """
    marks = list(dict.fromkeys([usual, *DELIMITERS.values()]))
    columns = {mark: _names(content, encoding, mark) for mark in marks}
    fitting = [mark for mark in marks if needed and set(needed) <= set(columns[mark])]
    if fitting:
        return fitting[0]
    return max((mark for mark in marks if mark != " "), key=lambda mark: len(columns[mark]))


def stack(parts: Sequence[Table]) -> Table:
    """Concatenate the rows of several tables."""
    assert parts, "at least one file"
    return Table(
        pd.concat([part.cells for part in parts], ignore_index=True),
        pd.concat([part.origin for part in parts], ignore_index=True),
    )


def with_origin(cells: pd.DataFrame, file: str, first_row: int) -> Table:
    """Well-formed rows of one file as a table, in consecutive lines from `first_row`."""
    rows = np.arange(first_row, first_row + len(cells), dtype=np.int64)
    return located(cells, file, rows)


def located(
    cells: pd.DataFrame,
    file: str,
    rows: Sequence[int] | np.ndarray,
    malformed: list[Any] | None = None,
) -> Table:
    """Rows of one file as a table, each with its line and its problem if malformed."""
    origin = {
        Columns.FILE: pd.Series(file, index=range(len(cells)), dtype="str"),
        Columns.ROW: np.asarray(rows, dtype=np.int64),
        Columns.MALFORMED: pd.Series(malformed, index=range(len(cells)), dtype="str"),
    }
    return Table(cells.reset_index(drop=True), pd.DataFrame(origin))


def require(table: Table, file: str, needed: dict[str, str] | Sequence[str]) -> None:
    """Raise `MissingColumnError` unless every needed column is there."""
    settings = needed if isinstance(needed, dict) else dict.fromkeys(needed, "")
    for column, setting in settings.items():
        if column not in table.cells:
            raise MissingColumnError(file, column, [str(c) for c in table.cells], setting)


def read_split(path: Path, root: Path, columns: Sequence[str], separator: str) -> Table:
    """Read a small Latin-1 file with a long separator, or with literal quotation marks."""
    lines = path.read_text(encoding="latin-1").split("\n")
    if lines and not lines[-1]:
        lines.pop()
    width = len(columns)
    fields = [line.rstrip("\r").split(separator) for line in lines]
    malformed = [None if len(row) == width else miscounted(len(row), width) for row in fields]
    rows = [row if len(row) == width else [""] * width for row in fields]
    cells = pd.DataFrame(rows, columns=list(columns), dtype="str")
    return located(cells, name_within(path, root), np.arange(1, len(rows) + 1), malformed)


def _suffix(path: Path) -> str:
    suffixes = [s.lower() for s in path.suffixes]
    known = [s for s in suffixes if s in (*PARQUET, *TAB_SEPARATED)]
    return known[-1] if known else ""


def _header(content: bytes, file: str, separator: str, encoding: str) -> list[str]:
    """Names of the columns; a column without a name gets its number."""
    lines = io.TextIOWrapper(io.BytesIO(content), encoding, newline="")
    try:
        names = next(csv.reader(lines, delimiter=separator), [])
    except csv.Error as error:
        raise UnreadableTableError(file, f"line 1 is not a header: {error}") from None
    if not any(name.strip() for name in names):
        raise UnreadableTableError(
            file,
            "no header in line 1"
            if content.strip()
            else "the file is empty: export it again, or remove it",
        )
    if any(mark in name for name in names for mark in "\n\r\0"):
        problem = "line 1 is not a header: a stray quotation mark, or not a text file"
        raise UnreadableTableError(file, problem)
    names = [clean(name) for name in names]
    _one_of_each(names, file)
    return [name or f"unnamed {number}" for number, name in enumerate(names, start=1)]


def _names(content: bytes, encoding: str, separator: str) -> list[str]:
    """Column names in the first line with this separator; empty if it cannot be split."""
    lines = io.TextIOWrapper(io.BytesIO(content), encoding, newline="")
    try:
        return [clean(name) for name in next(csv.reader(lines, delimiter=separator), [])]
    except csv.Error:
        return []


def _one_of_each(names: Sequence[str], file: str) -> None:
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise UnreadableTableError(
            file, f"{names.count(twice)} columns are called `{twice}`: rename them"
        )


def _read_lines(
    content: bytes, separator: str, encoding: str, names: Sequence[str], header: int
) -> pd.DataFrame | None:
    """All rows, if each is one line with at most as many cells as names; else None."""
    try:
        cells = pd.read_csv(
            io.BytesIO(content),
            sep=separator,
            encoding=encoding,
            dtype="str",
            keep_default_na=False,
            na_values=[""],
            skip_blank_lines=False,
            header=0 if header else None,
            names=list(names),
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError):
        return None
    # pandas makes an index of cells beyond the names
    even = isinstance(cells.index, pd.RangeIndex)
    one_line_each = b'"' not in content or len(cells) + header == count_lines(content)
    return cells if even and one_line_each else None


def count_lines(content: bytes) -> int:
    """Number of lines of a text, with any line ends."""
    ends = content.count(b"\n") + content.count(b"\r") - content.count(b"\r\n")
    return ends + (not content.endswith((b"\n", b"\r")))


def _read_records(
    content: str, file: str, separator: str, names: Sequence[str], header: int
) -> Table:
    """Slower: lines may have different lengths, cells may contain line breaks."""
    records = list(read_records(split_lines(content), separator, len(names)))[header:]
    cells = pd.DataFrame([fields for _, fields, _ in records], columns=list(names), dtype="str")
    return located(
        cells, file, [row for row, _, _ in records], [problem for _, _, problem in records]
    )


def _read_parquet(path: Path, file: str) -> pd.DataFrame:
    try:
        table = pq.ParquetFile(io.BytesIO(path.read_bytes())).read()
    except (pa.ArrowException, OSError) as error:
        raise UnreadableTableError(
            file, f"not a Parquet file: {' '.join(str(error).split())}"
        ) from None
    table = table.rename_columns([clean(name) for name in table.column_names])
    _one_of_each(table.column_names, file)
    frame = table.to_pandas(ignore_metadata=True, types_mapper=_EXACT.get)
    for field in table.schema:
        if pa.types.is_fixed_size_binary(field.type):
            frame[field.name] = frame[field.name].map(_digits, na_action="ignore").astype("str")
    return frame


def _digits(content: bytes) -> str:
    """Fixed-size binary as text: 16 bytes are a UUID, others become hexadecimal."""
    return str(uuid.UUID(bytes=content)) if len(content) == UUID_BYTES else content.hex()


def unusable_ids(values: pd.Series) -> tuple[np.ndarray, str]:
    """Cells that cannot be ids, bool [rows], and the problem."""
    kind = values.dtype
    if pd.api.types.is_bool_dtype(kind):
        return values.notna().to_numpy(), NOT_IDS
    if pd.api.types.is_float_dtype(kind):
        bits = np.finfo(getattr(kind, "numpy_dtype", kind)).nmant + 1
        large = (values.abs() >= 2.0**bits).fillna(False).to_numpy(dtype=bool)
        return large, (
            f"is floating point and beyond 2^{bits}, where adjacent integers are equal: store "
            "ids as whole numbers or as text"
        )
    if pd.api.types.is_object_dtype(kind):
        wrong = values.map(_not_an_id, na_action="ignore").eq(True).to_numpy(dtype=bool)
        return wrong, NOT_IDS
    return np.zeros(len(values), dtype=bool), ""


def _not_an_id(cell: object) -> bool:
    if isinstance(cell, bytes):
        try:
            cell.decode()
        except UnicodeDecodeError:
            return True
    return isinstance(cell, list | tuple | set | dict | np.ndarray | bool)
