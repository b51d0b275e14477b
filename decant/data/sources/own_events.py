"""A team's own event log: one or more tables, or a line of items per user."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from decant.columns import Columns
from decant.data.sources.delimited import EmptyLogError, Table, located, read_table, require, stack
from decant.data.sources.files import (
    UnreadableTableError,
    decode,
    name_within,
    read_content,
    split_lines,
)
from decant.data.sources.layout import Files, separator
from decant.data.sources.notes import Notes
from decant.data.sources.parse import parse_numbers, unparsed
from decant.data.sources.times import parse_times
from decant.data.tables import ORIGIN, make_events, no_cells
from decant.params.data import Ingest

SOURCE = "events"
SECOND_LINE = "a second line of the same user (for a table of events set `layout: table`)"
QUOTED = "a quotation mark in a line of `layout: sequences`"
ROLES = ("user", "item", "time", "behaviour", "rating")
FILES_SHOWN = 12
ROUNDED = ("float16", "float32", "Float32")  # types that cannot represent a current second
_HEADERS = ("user", "user_id", "userid")


def read_events(files: Files, settings: Ingest, notes: Notes) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The events in the order of their rows, and the unparsed cells.

    Raises:
        MissingColumnError, UnreadableTableError, EmptyLogError, AmbiguousTimesError,
            ContradictoryTimesError: with the file's name.
    """
    if settings.layout == "sequences":
        events, cells = _sequences(files, settings, notes), no_cells()
    else:
        events, cells = _table_of_events(files, settings, notes)
    notes.add(*_order(files, settings, events))
    return events, cells


def _table_of_events(
    files: Files, settings: Ingest, notes: Notes
) -> tuple[pd.DataFrame, pd.DataFrame]:
    roles = {role: column for role in ROLES if (column := getattr(settings, role)) is not None}
    parts = [_read_part(path, files.root, roles, settings, notes) for path in files.events]
    log = stack([Table(part.cells.drop(columns=Columns.TIME, errors="ignore"), part.origin)
                 for part in parts])  # fmt: skip
    if not len(log):
        raise EmptyLogError([name_within(path, files.root) for path in files.events])
    columns: dict[str, pd.Series | str | float] = {
        Columns.BEHAVIOUR: settings.behaviour_default,
        **{str(name): log.cells[name] for name in log.cells},
        Columns.SOURCE: SOURCE,
        **{str(name): column for name, column in log.origin.items()},
    }
    cells = [no_cells()]
    if Columns.TIME in roles:
        columns[Columns.TIME], lost = _times(parts, settings, notes)
        cells.append(lost)
    if Columns.RATING in roles:
        written = log.column(Columns.RATING)
        columns[Columns.RATING] = rating = parse_numbers(written)
        cells.append(unparsed("events", Columns.RATING, written, rating, log.origin))
    return make_events(columns), pd.concat(cells, ignore_index=True)


def _read_part(
    path: Path, root: Path, roles: dict[str, str], settings: Ingest, notes: Notes
) -> Table:
    """One file's columns by role; ids in canonical form, so that files can be concatenated."""
    file = name_within(path, root)
    part = read_table(path, root, separator=separator(settings), needed=tuple(roles.values()))
    require(part, file, {column: f"ingest.{role}" for role, column in roles.items()})
    notes.add(*([part.note] if part.note else []))
    cells = {
        role: notes.take_missing(f"events.{role}", part.cells[column], settings.missing)
        for role, column in roles.items()
    }
    if (kind := cells.get(Columns.TIME, pd.Series(dtype="str")).dtype) in ROUNDED:
        problem = f"`{roles[Columns.TIME]}` holds times as {kind}, which rounds them to minutes"
        raise UnreadableTableError(file, f"{problem}: store them as timestamps or whole numbers")
    by_role = Table(pd.DataFrame(cells), part.origin)
    for role in (Columns.USER, Columns.ITEM):
        ids = by_role.ids(role)
        notes.compare_ids(f"events.{role}", by_role.cells[role], ids)
        cells[role] = ids
    if Columns.BEHAVIOUR in roles:
        cells[Columns.BEHAVIOUR] = by_role.column(Columns.BEHAVIOUR)
    return Table(pd.DataFrame(cells), part.origin)


def _times(parts: list[Table], settings: Ingest, notes: Notes) -> tuple[pd.Series, pd.DataFrame]:
    """Times of all files, float64 seconds, and the unparsed cells."""
    named = [(str(p.origin[Columns.FILE].iloc[0]), p.cells[Columns.TIME]) for p in parts if len(p)]
    seconds, forms = parse_times(named, settings.time_format, settings.timezone)
    notes.add(*map(str, forms))
    written = pd.concat([cells.astype(object) for _, cells in named], ignore_index=True)
    origin = pd.concat([part.origin for part in parts if len(part)], ignore_index=True)
    return seconds, unparsed("events", Columns.TIME, written, seconds, origin)


def _order(files: Files, settings: Ingest, events: pd.DataFrame) -> list[str]:
    """Notes on how events are ordered, if not by time alone."""
    if Columns.TIME in events and events[Columns.TIME].notna().any():
        timed = events[[Columns.USER, Columns.TIME]].dropna()
        equal = int(timed.duplicated(keep=False).sum())
        if not equal:
            return []
        return [
            f"{equal:,} of {len(events):,} events share their time with another event of the same "
            "user: they keep the order of files and rows"
        ]
    names = [name_within(path, files.root) for path in files.events]
    if len(names) == 1:
        return []
    more = f" … {names[-1]}" if len(names) > FILES_SHOWN else ""
    shown = names[: FILES_SHOWN - 1] if more else names
    return [f"without times, events are in the order of the files: {', '.join(shown)}{more}"]


def _sequences(files: Files, settings: Ingest, notes: Notes) -> pd.DataFrame:
    log = stack([_read_lines(path, files.root, settings.user) for path in files.events])
    if not len(log):
        raise EmptyLogError([name_within(path, files.root) for path in files.events])
    rows = pd.concat([log.cells, log.origin], axis=1)
    user = notes.take_missing("events.user", rows[Columns.USER], settings.missing)
    rows[Columns.USER] = Table(user.to_frame(Columns.USER), log.origin).ids(Columns.USER)
    again = rows[Columns.USER].duplicated() & rows[Columns.USER].notna()
    rows[Columns.MALFORMED] = rows[Columns.MALFORMED].mask(again, SECOND_LINE)
    rows[Columns.ITEM] = rows[Columns.ITEM].mask(rows[Columns.MALFORMED].notna())
    rows = rows.explode(Columns.ITEM, ignore_index=True)
    return make_events(
        {
            Columns.USER: rows[Columns.USER],
            Columns.ITEM: notes.take_missing("events.item", rows[Columns.ITEM], settings.missing),
            Columns.BEHAVIOUR: settings.behaviour_default,
            Columns.SOURCE: SOURCE,
            **{name: rows[name] for name in ORIGIN},
        }
    )


def _read_lines(path: Path, root: Path, user: str) -> Table:
    """One line per user: the user, then items in order, separated by blanks or commas."""
    file = name_within(path, root)
    content = read_content(path, file)
    if content.startswith(b"PAR1"):
        raise UnreadableTableError(
            file, "is Parquet, but `layout: sequences` expects text with a line per user"
        )
    lines = [line.strip() for line in split_lines(decode(content, file))]
    fields = [re.split(r"[\s,]+", line) for line in lines]
    if fields and fields[0][0].casefold() in (user.casefold(), *_HEADERS):
        raise UnreadableTableError(
            file,
            f"line 1 begins with `{fields[0][0]}`, a header; `layout: sequences` allows none",
        )
    cells = pd.DataFrame(
        {
            Columns.USER: pd.Series([row[0] for row in fields], dtype="str"),
            Columns.ITEM: pd.Series([row[1:] or [np.nan] for row in fields], dtype="object"),
        }
    )
    malformed = [QUOTED if '"' in line else None for line in lines]
    return located(cells, file, range(1, len(lines) + 1), malformed)
