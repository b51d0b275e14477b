"""The demo shop's tables: three logs, users and items."""

from pathlib import Path

import pandas as pd

from decant.columns import Columns
from decant.data.sources.attributes import read_attributes
from decant.data.sources.cells import parse_times, unparsed
from decant.data.sources.delimited import EmptyLog, read_table, require
from decant.data.sources.places import check_present
from decant.data.tables import Tables, in_order_of_arrival, make_events
from decant.data.vectors import read_modalities

BEHAVIOURS = {"views": "view", "carts": "cart", "purchases": "purchase"}
USER_ATTRIBUTES = ("age", "gender", "region")
ITEM_ATTRIBUTES = ("category", "brand", "price")


def read(folder: Path) -> Tables:
    """Read the demo shop.

    Raises:
        FilesMissing, ColumnMissing, TableUnreadable, EmptyLog: with the file's name.
    """
    files = check_present("demo", folder)
    assert files.users and files.items
    logs = [_read_log(path, folder) for path in files.events]
    if not sum(len(log) for log, _ in logs):
        raise EmptyLog([path.name for path in files.events])
    users, user_cells = read_attributes(
        files.users, "users", Columns.USER, USER_ATTRIBUTES, ("age",)
    )
    items, item_cells = read_attributes(
        files.items, "items", Columns.ITEM, (Columns.TITLE, *ITEM_ATTRIBUTES), ("price",)
    )
    vectors, lost = read_modalities(files, Columns.ITEM)
    cells = [*(lost for _, lost in logs), user_cells, item_cells, *lost]
    return Tables(
        events=in_order_of_arrival(log for log, _ in logs),
        users=users,
        items=items,
        unparsed=pd.concat(cells, ignore_index=True),
        used=tuple(
            path.name
            for path in (*files.events, files.users, files.items, *files.vectors.values())
        ),
        vectors=vectors,
    )


def _read_log(path: Path, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    table = read_table(path, folder)
    require(table, path.name, (Columns.USER, Columns.ITEM, Columns.TIME))
    written = table.column(Columns.TIME)
    time = parse_times(written)
    events = make_events(
        {
            Columns.USER: table.column(Columns.USER),
            Columns.ITEM: table.column(Columns.ITEM),
            Columns.BEHAVIOUR: BEHAVIOURS[path.stem],
            Columns.TIME: time,
            Columns.SOURCE: path.stem,
            **{str(name): column for name, column in table.origin.items()},
        }
    )
    return events, unparsed("events", Columns.TIME, written, time, table.origin)
