"""The demo shop's tables: three logs, users and items."""

from pathlib import Path

import pandas as pd

from decant.columns import Columns
from decant.data.sources.attributes import read_attributes
from decant.data.sources.delimited import EmptyLogError, Table, read_table, require, stack
from decant.data.sources.layout import check_present
from decant.data.sources.parse import unparsed
from decant.data.sources.times import parse_column
from decant.data.tables import Tables, in_order_of_arrival, make_events
from decant.data.vectors import read_modalities
from decant.params.data import Ingest

BEHAVIOURS = {"views": "view", "carts": "cart", "purchases": "purchase"}
USER_ATTRIBUTES = ("age", "gender", "region")
ITEM_ATTRIBUTES = ("category", "brand", "price")


def read(folder: Path) -> Tables:
    """Read the demo shop.

    Raises:
        MissingFilesError, MissingColumnError, UnreadableTableError, EmptyLogError: with the file's
            name.
    """
    files = check_present("demo", folder)
    assert files.users and files.items
    logs = [_read_log(path, folder) for path in files.events]
    if not sum(map(len, logs)):
        raise EmptyLogError([path.name for path in files.events])
    log = stack(logs)
    written = log.column(Columns.TIME)
    time, forms = parse_column(written, log.origin)
    users, user_cells = read_attributes(
        files.users, "users", Columns.USER, USER_ATTRIBUTES, ("age",)
    )
    items, item_cells = read_attributes(
        files.items, "items", Columns.ITEM, (Columns.TITLE, *ITEM_ATTRIBUTES), ("price",)
    )
    vectors, lost = read_modalities(files, Ingest())
    cells = [unparsed("events", Columns.TIME, written, time, log.origin), user_cells, item_cells]
    return Tables(
        events=in_order_of_arrival([_events(log, time)]),
        users=users,
        items=items,
        unparsed=pd.concat([*cells, *lost], ignore_index=True),
        used=tuple(
            path.name for path in (*files.events, files.users, files.items, *files.vectors.values())
        ),
        vectors=vectors,
        notes=tuple(map(str, forms)),
    )


def _read_log(path: Path, folder: Path) -> Table:
    table = read_table(path, folder)
    require(table, path.name, (Columns.USER, Columns.ITEM, Columns.TIME))
    cells = {
        Columns.USER: table.ids(Columns.USER),
        Columns.ITEM: table.ids(Columns.ITEM),
        Columns.TIME: table.column(Columns.TIME),
        Columns.SOURCE: pd.Series(path.stem, index=table.cells.index, dtype="str"),
    }
    return Table(pd.DataFrame(cells), table.origin)


def _events(log: Table, time: pd.Series) -> pd.DataFrame:
    return make_events(
        {
            Columns.USER: log.cells[Columns.USER],
            Columns.ITEM: log.cells[Columns.ITEM],
            Columns.BEHAVIOUR: log.cells[Columns.SOURCE].map(BEHAVIOURS),
            Columns.TIME: time,
            Columns.SOURCE: log.cells[Columns.SOURCE],
            **{str(name): column for name, column in log.origin.items()},
        }
    )
