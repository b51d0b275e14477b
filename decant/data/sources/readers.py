"""The one function that reads any source."""

from pathlib import Path

from decant.data.sources import movielens, online_retail, own_files
from decant.data.sources.demo import reader
from decant.data.tables import Tables
from decant.params.data import Ingest


def read(source: str, folder: Path, settings: Ingest) -> Tables:
    """Read the tables of `source` from `folder`; user ids are still the raw ones.

    Nothing is dropped: a cell that cannot be read is missing in its table and listed in
    `Tables.unparsed`.

    Raises:
        MissingFilesError: files are not there.
        MissingColumnError: a table lacks a column.
        UnreadableTableError: a file is not the table it should be.
        EmptyLogError: the logs hold no row.
    """
    if source == "demo":
        return reader.read(folder)
    if source == "movielens-100k":
        return movielens.read_100k(folder)
    if source == "movielens-1m":
        return movielens.read_1m(folder)
    if source == "online-retail":
        return online_retail.read(folder)
    assert source == "files", source
    return own_files.read(folder, settings)
