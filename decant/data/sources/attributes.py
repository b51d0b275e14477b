"""Users and items with their attributes, each typed as number or text."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from decant.columns import Columns
from decant.data.sources.delimited import Table, read_table, require
from decant.data.sources.parse import parse_numbers, unparsed
from decant.data.tables import attribute_values, malformed_ids, no_cells


def read_attributes(
    path: Path, name: str, key: str, attributes: Sequence[str], numeric: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the table `name` (users or items) from a file with a header; see `attributes_of`."""
    table = read_table(path, path.parent)
    require(table, path.name, (key, *attributes))
    return attributes_of(table, name, (key, *attributes), numeric)


def attributes_of(
    table: Table, name: str, columns: Sequence[str], numeric: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The `columns` of a table with their origin, `numeric` ones parsed; and the unparsed cells.

    The first column is the id.
    """
    written = {
        column: table.ids(column) if column == columns[0] else _cells(table, column)
        for column in columns
    }
    parsed = {c: parse_numbers(v) if c in numeric else v for c, v in written.items()}
    lost = [unparsed(name, c, written[c], parsed[c], table.origin) for c in numeric]
    frame = pd.concat([pd.DataFrame(parsed), table.origin], axis=1)
    frame[Columns.MALFORMED] = malformed_ids(frame, columns[:1])
    return frame, pd.concat(lost, ignore_index=True) if lost else no_cells()


def _cells(table: Table, column: str) -> pd.Series:
    """An attribute's values in canonical form; a title stays text, as it is never compared."""
    if column == Columns.TITLE:
        return table.column(column)
    return attribute_values(table.cells[column])
