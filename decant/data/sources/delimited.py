"""Tables in files: read as text, every row with its file and line, columns checked by name."""

import csv
import difflib
import gzip
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from decant.columns import Columns
from decant.data.tables import text

PARQUET = (".parquet", ".pq")
TAB_SEPARATED = (".tsv", ".tab")


class ColumnMissing(ValueError):
    """A table lacks a column; says which file, the nearest name and all that there are."""

    def __init__(self, file: str, column: str, columns: Sequence[str], setting: str = "") -> None:
        self.file, self.column, self.columns = file, column, list(columns)
        near = difflib.get_close_matches(column.lower(), [c.lower() for c in columns], n=1)
        nearest = [c for c in columns if near and c.lower() == near[0]]
        hint = f"; the nearest is `{nearest[0]}`" if nearest else ""
        what = f"`{column}`" + (f" ({setting})" if setting else "")
        super().__init__(f"{file}: no column {what}{hint}; it has {', '.join(columns) or 'none'}")


class TableUnreadable(ValueError):
    """A file is there but is not the table it should be."""

    def __init__(self, file: str, problem: str) -> None:
        self.file, self.problem = file, problem
        super().__init__(f"{file}: {problem}")


class EmptyLog(ValueError):
    """The logs hold no row at all."""

    def __init__(self, files: Sequence[str]) -> None:
        self.files = list(files)
        shown = ", ".join(files[:4]) + (f" and {len(files) - 4} more" if len(files) > 4 else "")
        super().__init__(f"{shown}: no events; there is nothing to learn from")


@dataclass(frozen=True)
class Table:
    """Rows of one or more files. `cells`: the columns; `origin`: file and row, aligned with it."""

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
    included. A line with too many fields becomes a row of missing cells.

    Raises:
        TableUnreadable: empty file, wrong encoding, a quotation that never ends.
    """
    file = name_within(path, root)
    if _suffix(path) in PARQUET:
        return with_origin(_read_parquet(path, file), file, first_row=1)
    if separator is None:
        separator = "\t" if _suffix(path) in TAB_SEPARATED else ","
    try:
        cells = _read_csv(path, separator, encoding, columns)
    except pd.errors.EmptyDataError:
        raise TableUnreadable(file, "the file is empty") from None
    except UnicodeDecodeError as error:
        raise TableUnreadable(file, f"not {error.encoding} text at byte {error.start}") from None
    except (pd.errors.ParserError, csv.Error) as error:
        raise TableUnreadable(file, f"not a table: {' '.join(str(error).split())}") from None
    return with_origin(cells, file, first_row=2 if columns is None else 1)


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
    """Rows of one file as a table; they are consecutive, from line `first_row`."""
    cells = cells.reset_index(drop=True)
    row = np.arange(first_row, first_row + len(cells), dtype=np.int64)
    name = pd.Series(file, index=cells.index, dtype="str")
    return Table(cells, pd.DataFrame({Columns.FILE: name, Columns.ROW: row}))


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
    fields = [line.rstrip("\r").split(separator) for line in lines]
    rows = [row if len(row) == len(columns) else [""] * len(columns) for row in fields]
    return with_origin(
        pd.DataFrame(rows, columns=list(columns), dtype="str"), name_within(path, root), 1
    )


def name_within(path: Path, root: Path) -> str:
    """The file's name within the source's folder."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _suffix(path: Path) -> str:
    suffixes = [s.lower() for s in path.suffixes]
    known = [s for s in suffixes if s in (*PARQUET, *TAB_SEPARATED)]
    return known[-1] if known else ""


def _read_csv(
    path: Path, separator: str, encoding: str, columns: Sequence[str] | None
) -> pd.DataFrame:
    try:
        cells = pd.read_csv(
            path,
            sep=separator,
            encoding=encoding,
            dtype="str",
            keep_default_na=False,
            na_values=[""],
            skip_blank_lines=False,
            header=0 if columns is None else None,
            names=None if columns is None else list(columns),
        )
    except pd.errors.ParserError as error:
        if "EOF" in str(error):
            raise
        return _read_uneven(path, separator, encoding, columns)
    # pandas takes cells beyond the header's for an index
    even = isinstance(cells.index, pd.RangeIndex)
    return cells if even else _read_uneven(path, separator, encoding, columns)


def _read_uneven(
    path: Path, separator: str, encoding: str, columns: Sequence[str] | None
) -> pd.DataFrame:
    """Slower: short lines are filled up, lines that are too long become blank."""
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rt", encoding=encoding, newline="") as lines:
        rows = list(csv.reader(lines, delimiter=separator))
    names = list(columns) if columns is not None else rows.pop(0)
    width = len(names)
    even = [row + [""] * (width - len(row)) if len(row) <= width else [""] * width for row in rows]
    return pd.DataFrame(even, columns=names, dtype="str")


def _read_parquet(path: Path, file: str) -> pd.DataFrame:
    try:
        return pd.read_parquet(io.BytesIO(path.read_bytes()))
    except (ValueError, OSError) as error:
        raise TableUnreadable(file, f"not a Parquet file: {' '.join(str(error).split())}") from None
