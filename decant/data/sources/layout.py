"""What `ingest` says of each table of one's own, defaults filled in."""

from dataclasses import dataclass

from decant.params import DELIMITERS, Ingest


@dataclass(frozen=True)
class OwnTable:
    """A table: its file, and its names of the columns of ids and titles (items alone)."""

    file: str
    id: str
    title: str | None = None


def users_table(settings: Ingest) -> OwnTable | None:
    """The table of users, None without one."""
    given = settings.users
    return None if given is None else OwnTable(given.file, given.id or settings.user)


def items_table(settings: Ingest) -> OwnTable | None:
    """The table of items, None without one."""
    given = settings.items
    if given is None:
        return None
    return OwnTable(given.file, given.id or settings.item, given.title or settings.item_title)


def vector_tables(settings: Ingest) -> dict[str, OwnTable]:
    """The tables of item vectors, by modality."""
    return {
        name: OwnTable(given.file, given.id or settings.item)
        for name, given in settings.vectors.items()
    }


def separator(settings: Ingest) -> str | None:
    """The mark between the fields of every file; None: found in each."""
    given = settings.delimiter
    return None if given is None else DELIMITERS.get(given, given)
