"""Online Retail (Chen, Sain & Guo 2012): the order lines of a real shop.

Only lines that sold a product are purchases. The others get a behaviour of their own, by which
`validate` counts them and sets them aside: a `cancellation` (invoice C…), a `correction` (a
quantity of zero or less without a cancelled invoice) or a `charge` (postage, fees, vouchers, manual
entries: codes without five leading digits). Order lines without a customer are kept for the check
of users. Codes of one product differ in case, so they are converted to upper case.
"""

from pathlib import Path

import pandas as pd

from decant.columns import Columns
from decant.data.sources.delimited import (
    EmptyLogError,
    Table,
    read_table,
    require,
    stack,
)
from decant.data.sources.files import UnreadableTableError, name_within
from decant.data.sources.layout import check_present
from decant.data.sources.parse import most_frequent, parse_numbers, unparsed
from decant.data.sources.times import parse_column
from decant.data.tables import ORIGIN, Tables, in_order_of_arrival, make_events

PURCHASE = "purchase"
NOT_SOLD = ("cancellation", "correction", "charge")
_COLUMNS = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
MONTH_FIRST = "month-first"  # 12/1/2010 8:26, the publisher's format
_PRODUCT = r"\d{5}[A-Z]*"


def read(folder: Path) -> Tables:
    """Read a folder of CSV files, its `by-day/`, or one CSV file.

    Items get the most frequent description as title and the median price; users a `country`.

    Raises:
        MissingFilesError, MissingColumnError, UnreadableTableError, EmptyLogError: with the file's
            name.
    """
    files = check_present("online-retail", folder)
    log = stack([_read_file(path, files.root) for path in files.events])
    if not len(log):
        raise EmptyLogError([name_within(path, files.root) for path in files.events])
    item = log.ids("StockCode").str.upper()
    user = log.ids("CustomerID")
    written = log.column("InvoiceDate")
    time, forms = parse_column(written, log.origin, usual=MONTH_FIRST)
    events = make_events(
        {
            Columns.USER: user,
            Columns.ITEM: item,
            Columns.BEHAVIOUR: _behaviour(log, item),
            Columns.TIME: time,
            Columns.SOURCE: "sales",
            **{str(name): column for name, column in log.origin.items()},
        }
    )
    country = {"country": most_frequent(user, log.column("Country"))}
    return Tables(
        events=in_order_of_arrival([events]),
        users=_one_row_each(Columns.USER, user, country, log),
        items=_items(item, log),
        unparsed=unparsed("events", Columns.TIME, written, time, log.origin),
        used=tuple(name_within(path, files.root) for path in files.events),
        notes=tuple(map(str, forms)),
    )


def _read_file(path: Path, root: Path) -> Table:
    try:
        table = read_table(path, root)
    except UnreadableTableError as error:
        if "not utf-8" not in error.problem:
            raise
        table = read_table(path, root, encoding="latin-1")  # as exported by spreadsheets
    require(table, name_within(path, root), _COLUMNS)
    return Table(table.cells[list(_COLUMNS)], table.origin)


def _behaviour(log: Table, item: pd.Series) -> pd.Series:
    cancellation, correction, charge = NOT_SOLD
    behaviour = pd.Series(PURCHASE, index=item.index, dtype="str")
    behaviour = behaviour.mask(item.notna() & ~item.str.fullmatch(_PRODUCT).eq(True), charge)
    behaviour = behaviour.mask(parse_numbers(log.column("Quantity")) <= 0, correction)
    return behaviour.mask(log.column("InvoiceNo").str.startswith("C").eq(True), cancellation)


def _items(item: pd.Series, log: Table) -> pd.DataFrame:
    price = parse_numbers(log.column("UnitPrice"))
    columns = {
        Columns.TITLE: most_frequent(item, log.column("Description")),
        "price": price.where(price > 0).groupby(item, sort=False).median(),
    }
    return _one_row_each(Columns.ITEM, item, columns, log)


def _one_row_each(
    name: str, keys: pd.Series, columns: dict[str, pd.Series], log: Table
) -> pd.DataFrame:
    """One row per key in order of first appearance, with the origin of that row."""
    first = keys.notna() & ~keys.duplicated()
    table = pd.DataFrame({name: keys[first]})
    for column, values in columns.items():
        table[column] = table[name].map(values).astype(values.dtype)
    return pd.concat([table, log.origin.loc[first, list(ORIGIN)]], axis=1).reset_index(drop=True)
