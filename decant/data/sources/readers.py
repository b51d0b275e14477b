"""Read any source by its name."""

from pathlib import Path

from decant.data.sources import movielens, online_retail, own_files, p1
from decant.data.sources.demo import reader
from decant.data.tables import Tables
from decant.params.data import Ingest


def read(source: str, folder: Path, settings: Ingest) -> Tables:
    """Read the tables of `source` from `folder`, with raw user ids.

    No row is dropped: an unreadable cell is missing in its table and listed in `Tables.unparsed`.

    Raises:
        MissingFilesError: files are missing.
        MissingColumnError: a table lacks a column.
        UnreadableTableError: a file is not the expected table.
        EmptyLogError: the logs have no rows.
        OtherDataError: the data is not that of `ingest.protocol`.
    """
    if source == "demo":
        return reader.read(folder)
    if source == "movielens-100k":
        return movielens.read_100k(folder)
    if source == "movielens-1m":
        tables = movielens.read_1m(folder)
        return p1.built(tables, p1.P1) if settings.protocol else tables
    if source == "online-retail":
        return online_retail.read(folder)
    assert source == "files", source
    return own_files.read(folder, settings)
