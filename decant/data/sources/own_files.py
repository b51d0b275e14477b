"""A team's own tables, laid out as `ingest` in params.yaml says."""

import re
from pathlib import Path

import pandas as pd

from decant.columns import Columns
from decant.data.sources.attributes import attributes_of
from decant.data.sources.cells import looks_numeric, parse_numbers, parse_times, unparsed
from decant.data.sources.content import (TableUnreadable, decode, name_within, read_content, split_lines,)
from decant.data.sources.delimited import (
    EmptyLog,
    Table,
    located,
    read_table,
    read_tables,
    require,
    stack,
)
from decant.data.sources.places import Files, check_present
from decant.data.vectors import read_modalities
from decant.data.tables import (
    ORIGIN,
    Tables,
    in_order_of_arrival,
    make_events,
    no_cells,
    no_items,
    no_users,
    with_a_row,
)
from decant.params import Ingest

RESERVED = (Columns.FILE, Columns.ROW, Columns.MALFORMED, Columns.REASON)
SOURCE = "events"
FLOAT_IS_EXACT = 2.0**53  # whole numbers below it
SECOND_LINE = "a second line of its user (a table of events has `layout: table`)"
QUOTED = "a quotation mark in a line of `layout: sequences`"
_HEADERS = ("user", "user_id", "userid")
_SETTINGS = {Columns.USER: "user", Columns.ITEM: "item", Columns.TITLE: "item_title"}


class IdsDoNotMatch(ValueError):
    """A table has a row for none of the ids in the events; shows how both write them.

    Ids of users must not get into logs, so letters and digits are masked.
    """

    def __init__(self, key: str, events: pd.DataFrame, table: pd.DataFrame) -> None:
        self.key = key
        first, second = (_first_id(frame, key) for frame in (events, table))
        super().__init__(
            f"no {key} of the events has a row in the table of {key}s: ids look like {first} and "
            f"like {second} (9: a digit, a: a letter); they must be the same"
        )


def read(folder: Path, settings: Ingest) -> Tables:
    """Read the tables that `settings` names; those of users and items are optional.

    An attribute is numeric if nine in ten of its cells are numbers, else text.

    Raises:
        FilesMissing, ColumnMissing, TableUnreadable, EmptyLog: with the file's name.
        IdsDoNotMatch: a table of users or items is about others than the events.
    """
    files = check_present("files", folder, settings)
    if settings.layout == "sequences":
        events, cells = _sequences(files, settings), no_cells()
    else:
        events, cells = _table_of_events(files, settings)
    users, user_cells = _attributes(files.users, folder, "users", {Columns.USER: settings.user})
    title = {Columns.ITEM: settings.item, Columns.TITLE: settings.item_title}
    items, item_cells = _attributes(files.items, folder, "items", title)
    vectors, lost = read_modalities(files, settings.item)
    for key, path, table in (
        (Columns.USER, files.users, users),
        (Columns.ITEM, files.items, items),
    ):
        found, ids = with_a_row(events, table, key)
        if path is not None and ids and not found:
            raise IdsDoNotMatch(key, events, table)
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
    )


def _table_of_events(files: Files, settings: Ingest) -> tuple[pd.DataFrame, pd.DataFrame]:
    roles = {
        role: getattr(settings, role)
        for role in ("user", "item", "time", "behaviour", "rating")
        if getattr(settings, role) is not None
    }
    needed = {column: f"ingest.{role}" for role, column in roles.items()}
    log = read_tables(files.events, files.root, needed)
    if not len(log):
        raise EmptyLog([name_within(path, files.root) for path in files.events])
    columns: dict[str, pd.Series | str | float] = {
        Columns.USER: _ids(log, settings.user),
        Columns.ITEM: _ids(log, settings.item),
        Columns.BEHAVIOUR: settings.behaviour_default,
        Columns.SOURCE: SOURCE,
        **{str(name): column for name, column in log.origin.items()},
    }
    cells = [no_cells()]
    if settings.behaviour is not None:
        columns[Columns.BEHAVIOUR] = log.column(settings.behaviour)
    for role, parse in ((Columns.TIME, parse_times), (Columns.RATING, parse_numbers)):
        if role in roles:
            written = log.cells[roles[role]]
            written = log.column(roles[role]) if pd.api.types.is_string_dtype(written) else written
            columns[role] = parsed = parse(written)
            cells.append(unparsed("events", role, written, parsed, log.origin))
    return make_events(columns), pd.concat(cells, ignore_index=True)


def _ids(table: Table, column: str) -> pd.Series:
    """A column of ids, as text.

    Raises:
        TableUnreadable: ids stored as floating point, too large to be told apart.
    """
    values = table.cells[column]
    if pd.api.types.is_float_dtype(values):
        large = (values.abs() >= FLOAT_IS_EXACT).fillna(False).to_numpy(dtype=bool)
        if large.any():
            raise TableUnreadable(
                str(table.origin.loc[large, Columns.FILE].iloc[0]),
                f"`{column}` is floating point and beyond 2^53 (rows: {large.sum():,}), where "
                "neighbours are the same number: store ids as whole numbers or as text",
            )
    return table.column(column)


def _sequences(files: Files, settings: Ingest) -> pd.DataFrame:
    log = stack([_read_lines(path, files.root, settings.user) for path in files.events])
    if not len(log):
        raise EmptyLog([name_within(path, files.root) for path in files.events])
    rows = pd.concat([log.cells, log.origin], axis=1)
    again = rows[Columns.USER].duplicated() & rows[Columns.USER].ne("")
    rows[Columns.MALFORMED] = rows[Columns.MALFORMED].mask(again, SECOND_LINE)
    rows[Columns.ITEM] = rows[Columns.ITEM].mask(rows[Columns.MALFORMED].notna())
    rows = rows.explode(Columns.ITEM, ignore_index=True)
    return make_events(
        {
            Columns.USER: rows[Columns.USER],
            Columns.ITEM: rows[Columns.ITEM],
            Columns.BEHAVIOUR: settings.behaviour_default,
            Columns.SOURCE: SOURCE,
            **{name: rows[name] for name in ORIGIN},
        }
    )


def _read_lines(path: Path, root: Path, user: str) -> Table:
    """One line per user: the user, then items in order, between blanks or commas."""
    file = name_within(path, root)
    content = read_content(path, file)
    if content.startswith(b"PAR1"):
        raise TableUnreadable(file, "is Parquet, which `layout: sequences` is not: a line of text each")
    lines = [line.strip() for line in split_lines(decode(content, file))]
    fields = [re.split(r"[\s,]+", line) for line in lines]
    if fields and fields[0][0].casefold() in (user.casefold(), *_HEADERS):
        problem = f"line 1 begins with `{fields[0][0]}`, a header: `layout: sequences` has none"
        raise TableUnreadable(file, problem)
    cells = pd.DataFrame(
        {
            Columns.USER: pd.Series([row[0] for row in fields], dtype="str"),
            Columns.ITEM: pd.Series([row[1:] for row in fields], dtype="object"),
        }
    )
    malformed = [QUOTED if '"' in line else None for line in lines]
    return located(cells, file, range(1, len(lines) + 1), malformed)


def _attributes(
    path: Path | None, folder: Path, name: str, named: dict[str, str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of users or items; `named`: our column → the setting that says what theirs is."""
    if path is None:
        return (no_users() if name == "users" else no_items()), no_cells()
    table = read_table(path, folder)
    file = name_within(path, folder)
    if not len(table):
        raise TableUnreadable(file, f"has no rows: fill it, or set ingest.{name}: null")
    require(table, file, {theirs: f"ingest.{_SETTINGS[ours]}" for ours, theirs in named.items()})
    others = [column for column in table.cells if column not in named.values()]
    clash = [column for column in others if column in (*RESERVED, *named)]
    if clash:
        raise TableUnreadable(file, f"the column `{clash[0]}` has a name that is taken: rename it")
    _ids(table, next(iter(named.values())))
    # an item's id may be its title too
    ours = {name: table.cells[theirs] for name, theirs in named.items()}
    cells = pd.concat([pd.DataFrame(ours), table.cells[others]], axis=1)
    columns = [str(column) for column in cells]
    table = Table(cells, table.origin)
    numeric = [c for c in columns if c not in named and looks_numeric(table.column(c))]
    return attributes_of(table, name, columns, numeric)


def _first_id(frame: pd.DataFrame, key: str) -> str:
    """The form and the place of a table's first id."""
    named = frame[frame[key].notna()]
    if not len(named):
        return "nothing at all"
    first = named.sort_values(list(ORIGIN[:2]), kind="stable").iloc[0]
    form = re.sub("[a-z]", "a", re.sub("[A-Z]", "A", re.sub(r"\d", "9", first[key])))
    return f"`{form}` ({first[Columns.FILE]}:{first[Columns.ROW]})"
