"""A team's own tables, as configured by `ingest` in params.yaml."""

import re
from collections import Counter
from pathlib import Path

import pandas as pd

from decant.columns import Columns
from decant.data.sources.attributes import attributes_of
from decant.data.sources.delimited import MissingColumnError, Table, read_table
from decant.data.sources.files import UnreadableTableError, name_within
from decant.data.sources.layout import OwnTable, check_present, items_table, separator, users_table
from decant.data.sources.notes import Notes, most_common
from decant.data.sources.own_events import read_events
from decant.data.sources.parse import NUMERIC_SHARE, codes, looks_numeric, not_numbers
from decant.data.tables import (
    ORIGIN,
    Tables,
    ids,
    in_order_of_arrival,
    no_cells,
    no_items,
    no_users,
    with_a_row,
)
from decant.data.vectors import read_modalities
from decant.params.data import Ingest

RESERVED = (Columns.FILE, Columns.ROW, Columns.MALFORMED, Columns.REASON)
SAME_IDS = 0.5  # a column with at least this share of event ids is the column of ids


class UnmatchedIdsError(ValueError):
    """No id of the events has a row in a table; the message shows the form of both ids.

    User ids must not get into logs, so letters and digits are masked.
    """

    def __init__(self, key: str, events: pd.DataFrame, table: pd.DataFrame) -> None:
        self.key = key
        first, second = (_first_id(frame, key) for frame in (events, table))
        super().__init__(
            f"no {key} of the events has a row in the table of {key}s: ids look like {first} and "
            f"like {second} (9: a digit, a: a letter); they must be equal"
        )


def read(folder: Path, settings: Ingest) -> Tables:
    """Read the configured tables; those of users and items are optional.

    An attribute is numeric if at least 90 % of its cells are numbers and none is a code (see
    `parse.codes`); else text.

    Raises:
        MissingFilesError, MissingColumnError, UnreadableTableError, EmptyLogError: with the file's
            name.
        AmbiguousTimesError, ContradictoryTimesError: the order of day and month is unclear.
        UnmatchedIdsError: a table of users or items has no id of the events.
    """
    files = check_present("files", folder, settings)
    notes = Notes()
    events, cells = read_events(files, settings, notes)
    users, user_cells = read_users(files.users, folder, settings, notes, events)
    items, item_cells = read_items(files.items, folder, settings, notes, events)
    vectors, lost = read_modalities(files, settings)
    for key, path, table in (
        (Columns.USER, files.users, users),
        (Columns.ITEM, files.items, items),
    ):
        matched, different = with_a_row(events, table, key)
        if path is not None and different and not matched:
            raise UnmatchedIdsError(key, events, table)
    return Tables(
        events=in_order_of_arrival([events]),
        users=users,
        items=items,
        unparsed=pd.concat([cells, user_cells, item_cells, *lost], ignore_index=True),
        clock=settings.layout == "table" and settings.time is not None,
        used=tuple(
            name_within(path, folder)
            for path in (*files.events, files.users, files.items, *files.vectors.values())
            if path
        ),
        vectors=vectors,
        notes=notes.all(),
    )


def read_users(
    path: Path | None,
    folder: Path,
    settings: Ingest,
    notes: Notes,
    events: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of users, and the unparsed cells; both empty without a file.

    `events`: used to suggest the right column if the column of ids is missing.
    """
    named = users_table(settings)
    if path is None or named is None:
        return no_users(), no_cells()
    return _attributes(path, folder, "users", named, settings, notes, events)


def read_items(
    path: Path | None,
    folder: Path,
    settings: Ingest,
    notes: Notes,
    events: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same for the table of items."""
    named = items_table(settings)
    if path is None or named is None:
        return no_items(), no_cells()
    return _attributes(path, folder, "items", named, settings, notes, events)


def _attributes(
    path: Path,
    folder: Path,
    name: str,
    named: OwnTable,
    settings: Ingest,
    notes: Notes,
    events: pd.DataFrame | None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    columns = _columns(name, named)
    needed = tuple(columns.values())
    table = read_table(path, folder, separator=separator(settings), needed=needed)
    file = name_within(path, folder)
    notes.add(*([table.note] if table.note else []))
    if not len(table):
        raise UnreadableTableError(file, f"has no rows: fill it, or set ingest.{name}: null")
    _require(table, file, name, columns, events)
    others = [column for column in map(str, table.cells) if column not in needed]
    clash = [column for column in others if column in (*RESERVED, *columns)]
    if clash:
        raise UnreadableTableError(file, f"the column name `{clash[0]}` is reserved: rename it")
    cells = {  # an item's id may also be its title
        column: notes.take_missing(f"{name}.{column}", table.cells[theirs], settings.missing)
        for column, theirs in {**columns, **{c: c for c in others}}.items()
    }
    table = Table(pd.DataFrame(cells), table.origin)
    key = next(iter(columns))
    notes.compare_ids(f"{name}.{key}", table.cells[key], table.ids(key))
    numeric = [c for c in others if _is_numeric(f"{name}.{c}", table.column(c), notes)]
    return attributes_of(table, name, [str(column) for column in table.cells], numeric)


def _columns(name: str, named: OwnTable) -> dict[str, str]:
    """Our column names → those of the file."""
    if named.title is None:
        return {Columns.USER if name == "users" else Columns.ITEM: named.id}
    return {Columns.ITEM: named.id, Columns.TITLE: named.title}


def _require(
    table: Table, file: str, name: str, columns: dict[str, str], events: pd.DataFrame | None
) -> None:
    """Raise `MissingColumnError` unless all of `columns` (ours → theirs) exist; it suggests a
    column that looks like the ids."""
    for ours, theirs in columns.items():
        if theirs in table.cells:
            continue
        setting = (
            f"ingest.{name}: {{file: {file}, {'id' if ours != Columns.TITLE else 'title'}: …}}"
        )
        near = None
        if ours != Columns.TITLE and events is not None:
            near = _column_of_ids(table, set(events[ours].dropna()))
        raise MissingColumnError(file, theirs, list(map(str, table.cells)), setting, near)


def _column_of_ids(table: Table, known: set[str]) -> str | None:
    """The column with the most event ids, if at least `SAME_IDS` of its cells are."""
    shares = {str(c): float(ids(table.cells[c]).isin(known).mean()) for c in table.cells}
    best = max(shares, key=shares.__getitem__, default=None)
    return best if best is not None and shares[best] >= SAME_IDS else None


def _is_numeric(name: str, values: pd.Series, notes: Notes) -> bool:
    """Whether a column is numeric; adds a note if a few cells decide that, or are lost."""
    others = Counter(not_numbers(values).tolist())
    odd = others or Counter(codes(values).tolist())
    count, numbers = int(values.notna().sum()), int(values.notna().sum()) - others.total()
    numeric = looks_numeric(values)
    hint = "ingest.missing can list spellings of missing values"
    if others and numeric:
        notes.add(
            f"{name} is read as numbers: {others.total():,} of {count:,} cells are not numbers "
            f"and left empty ({most_common(others)}); {hint}"
        )
    elif odd and not numeric and numbers >= (1 - NUMERIC_SHARE) * count:
        notes.add(
            f"{name} is read as text, each value a category: {numbers:,} of {count:,} cells are "
            f"numbers, but there are {most_common(odd)}; {hint}"
        )
    return numeric


def _first_id(frame: pd.DataFrame, key: str) -> str:
    """The masked form and the place of a table's first id."""
    named = frame[frame[key].notna()]
    if not len(named):
        return "nothing at all"
    first = named.sort_values(list(ORIGIN[:2]), kind="stable").iloc[0]
    form = re.sub("[a-z]", "a", re.sub("[A-Z]", "A", re.sub(r"\d", "9", first[key])))
    return f"`{form}` ({first[Columns.FILE]}:{first[Columns.ROW]})"
