"""Tables in files: read as text, every row with its file and line, columns checked by name."""

import csv
import difflib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from decant.columns import Columns
from decant.data.sources.content import (
    TableUnreadable,
    decode,
    name_within,
    read_content,
    split_lines,
)
from decant.data.sources.records import miscounted, read_records
from decant.data.tables import text

PARQUET = (".parquet", ".pq")
TAB_SEPARATED = (".tsv", ".tab")
# pandas would make floats of them where one is missing, and large ids would become the same
_EXACT = {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype()}


class ColumnMissing(ValueError):
    """A table lacks a column; says which file, the nearest name and all that there are."""

    def __init__(self, file: str, column: str, columns: Sequence[str], setting: str = "") -> None:
        self.file, self.column, self.columns = file, column, list(columns)
        near = difflib.get_close_matches(column.lower(), [c.lower() for c in columns], n=1)
        nearest = [c for c in columns if near and c.lower() == near[0]]
        hint = f"; the nearest is `{nearest[0]}`" if nearest else ""
        what = f"`{column}`" + (f" ({setting})" if setting else "")
        super().__init__(f"{file}: no column {what}{hint}; it has {', '.join(columns) or 'none'}")


class EmptyLog(ValueError):
    """The logs hold no row at all."""

    def __init__(self, files: Sequence[str]) -> None:
        self.files = list(files)
        shown = ", ".join(files[:4]) + (f" and {len(files) - 4} more" if len(files) > 4 else "")
        super().__init__(f"{shown}: no events; there is nothing to learn from")


@dataclass(frozen=True)
class Table:
    """Rows of one or more files. `cells`: the columns; `origin`: file, row and what is malformed
    about that line, aligned with it."""

    cells: pd.DataFrame
    origin: pd.DataFrame

    def __len__(self) -> int:
        return len(self.cells)

    def column(self, name: str) -> pd.Series:
        """One column, blanks stripped, empty cells missing."""
        return text(self.cells[name])


def read_table(
    path: Path,
    root: Path,
    *,
    columns: Sequence[str] | None = None,
    separator: str | None = None,
    encoding: str = "utf-8-sig",
) -> Table:
    """Read one CSV, TSV (also .gz …) or Parquet file; CSV cells stay text.

    `columns` names those of a file without a header. `row` counts lines from 1, the header
    included. A malformed line (too many fields, a stray quotation mark) is a row of missing cells
    that says so.

    Raises:
        TableUnreadable: empty, wrong encoding, two columns of one name, not what its name says.
    """
    file = name_within(path, root)
    if _suffix(path) in PARQUET:
        return with_origin(_read_parquet(path, file), file, first_row=1)
    if separator is None:
        separator = "\t" if _suffix(path) in TAB_SEPARATED else ","
    content = read_content(path, file)
    header = int(columns is None)
    try:
        names = list(columns) if columns is not None else _header(content, file, separator, encoding)
        cells = _read_lines(content, separator, encoding, names, header)
    except UnicodeDecodeError:
        decode(content, file, encoding)  # raises, and knows the line
        raise
    if cells is not None:
        return with_origin(cells, file, first_row=1 + header)
    return _read_records(decode(content, file, encoding), file, separator, names, header)


def read_tables(paths: Iterable[Path], root: Path, needed: dict[str, str]) -> Table:
    """Read files of one layout as one table; each must have the `needed` columns.

    `needed`: column → the setting that names it, or an empty text.

    Raises:
        ColumnMissing: the first file that lacks one.
    """
    parts = []
    for path in paths:
        part = read_table(path, root)
        require(part, name_within(path, root), needed)
        parts.append(Table(part.cells[list(needed)], part.origin))
    return stack(parts)


def stack(parts: Sequence[Table]) -> Table:
    """The rows of several tables below one another."""
    assert parts, "at least one file"
    return Table(
        pd.concat([part.cells for part in parts], ignore_index=True),
        pd.concat([part.origin for part in parts], ignore_index=True),
    )


def with_origin(cells: pd.DataFrame, file: str, first_row: int) -> Table:
    """Rows of one file as a table; they are consecutive, from line `first_row`, and well formed."""
    rows = np.arange(first_row, first_row + len(cells), dtype=np.int64)
    return located(cells, file, rows)


def located(
    cells: pd.DataFrame,
    file: str,
    rows: Sequence[int] | np.ndarray,
    malformed: list[Any] | None = None,
) -> Table:
    """Rows of one file as a table, each with its line and what is malformed about it."""
    origin = {
        Columns.FILE: pd.Series(file, index=range(len(cells)), dtype="str"),
        Columns.ROW: np.asarray(rows, dtype=np.int64),
        Columns.MALFORMED: pd.Series(malformed, index=range(len(cells)), dtype="str"),
    }
    return Table(cells.reset_index(drop=True), pd.DataFrame(origin))


def require(table: Table, file: str, needed: dict[str, str] | Sequence[str]) -> None:
    """Raise `ColumnMissing` unless every needed column is there."""
    settings = needed if isinstance(needed, dict) else dict.fromkeys(needed, "")
    for column, setting in settings.items():
        if column not in table.cells:
            raise ColumnMissing(file, column, [str(c) for c in table.cells], setting)


def read_split(path: Path, root: Path, columns: Sequence[str], separator: str) -> Table:
    """Read a small Latin-1 file whose separator is more than one character or may be quoted."""
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
    """Names of the columns; one without a name gets its number."""
    lines = io.TextIOWrapper(io.BytesIO(content), encoding, newline="")
    try:
        names = next(csv.reader(lines, delimiter=separator), [])
    except csv.Error as error:
        raise TableUnreadable(file, f"line 1 is no header: {error}") from None
    if not any(name.strip() for name in names):
        raise TableUnreadable(file, "no header in line 1" if content.strip() else "the file is empty")
    if any(mark in name for name in names for mark in "\n\r\0"):
        problem = "line 1 is no header: a stray quotation mark, or not a text file"
        raise TableUnreadable(file, problem)
    _one_of_each(names, file)
    return [name or f"unnamed {number}" for number, name in enumerate(names, start=1)]


def _one_of_each(names: Sequence[str], file: str) -> None:
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise TableUnreadable(file, f"{names.count(twice)} columns are called `{twice}`: rename them")


def _read_lines(
    content: bytes, separator: str, encoding: str, names: Sequence[str], header: int
) -> pd.DataFrame | None:
    """All rows, if each is one line with no more cells than there are names; else None."""
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
    # pandas takes cells beyond the names for an index
    even = isinstance(cells.index, pd.RangeIndex)
    one_line_each = b'"' not in content or len(cells) + header == count_lines(content)
    return cells if even and one_line_each else None


def count_lines(content: bytes) -> int:
    """Lines of a text, however they end."""
    ends = content.count(b"\n") + content.count(b"\r") - content.count(b"\r\n")
    return ends + (not content.endswith((b"\n", b"\r")))


def _read_records(
    content: str, file: str, separator: str, names: Sequence[str], header: int
) -> Table:
    """Slower: lines may be uneven, cells may hold line breaks."""
    records = list(read_records(split_lines(content), separator, len(names)))[header:]
    cells = pd.DataFrame([fields for _, fields, _ in records], columns=list(names), dtype="str")
    return located(
        cells, file, [row for row, _, _ in records], [problem for _, _, problem in records]
    )


def _read_parquet(path: Path, file: str) -> pd.DataFrame:
    try:
        table = pq.ParquetFile(io.BytesIO(path.read_bytes())).read()
    except (pa.ArrowException, OSError) as error:
        raise TableUnreadable(file, f"not a Parquet file: {' '.join(str(error).split())}") from None
    _one_of_each(table.column_names, file)
    return table.to_pandas(ignore_metadata=True, types_mapper=_EXACT.get)
