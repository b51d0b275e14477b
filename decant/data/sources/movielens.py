"""MovieLens 100K and 1M in the publisher's formats.

Harper & Konstan 2015, "The MovieLens Datasets: History and Context". ZIP codes are reduced to
their first digit (`region`); in MovieLens 1M `age` is the lower end of an age range.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from decant.columns import Columns
from decant.data.sources.attributes import attributes_of
from decant.data.sources.delimited import EmptyLogError, Table, read_split, read_table, require
from decant.data.sources.layout import Files, check_present
from decant.data.sources.parse import parse_numbers, unparsed
from decant.data.tables import (
    ORIGIN,
    Tables,
    in_order_of_arrival,
    make_events,
    no_cells,
    no_items,
    no_users,
)

RATING = "rating"
GENRES = "genres"
OCCUPATIONS = (  # MovieLens 1M has numbers; these are the names in its README
    "other",
    "academic/educator",
    "artist",
    "clerical/admin",
    "college/grad student",
    "customer service",
    "doctor/health care",
    "executive/managerial",
    "farmer",
    "homemaker",
    "K-12 student",
    "lawyer",
    "programmer",
    "retired",
    "sales/marketing",
    "scientist",
    "self-employed",
    "technician/engineer",
    "tradesman/craftsman",
    "unemployed",
    "writer",
)
_NUMBERS = (Columns.RATING, Columns.TIME)


def read_100k(folder: Path) -> Tables:
    """Read MovieLens 100K: u.data, u.user, u.item, u.genre.

    Raises:
        MissingFilesError, UnreadableTableError, EmptyLogError: with the file's name.
    """
    files = check_present("movielens-100k", folder)
    assert files.users and files.items
    names = (Columns.USER, Columns.ITEM, Columns.RATING, Columns.TIME)
    log = read_table(files.events[0], folder, columns=names, separator="\t")
    events, cells = _events(log, files, clock=True)
    people = read_split(files.users, folder, ("user", "age", "gender", "occupation", "zip"), "|")
    users, user_cells = _users(people)
    return Tables(
        events=events,
        users=users,
        items=_items_100k(files.items, folder),
        unparsed=pd.concat([cells, user_cells], ignore_index=True),
        used=("u.data", "u.user", "u.item", "u.genre"),
    )


def read_1m(folder: Path) -> Tables:
    """Read MovieLens 1M from the most complete log available.

    `ratings.dat` has times; `sequences.csv` (user_id, position, movie_id, rating) only an order;
    `ml-1m.txt` ("user item" lines) only an order, and ids of its own, so no attributes.

    Raises:
        MissingFilesError, MissingColumnError, UnreadableTableError, EmptyLogError: with the file's
            name.
    """
    files = check_present("movielens-1m", folder)
    log = _READERS[files.events[0].name](files)
    clock = files.events[0].name == "ratings.dat"
    events, cells = _events(log, files, clock=clock)
    used = tuple(p.name for p in (*files.events, files.users, files.items) if p)
    if files.users is None or files.items is None:
        return Tables(events, no_users(), no_items(), cells, clock, used)
    people = read_split(files.users, folder, ("user", "gender", "age", "occupation", "zip"), "::")
    users, user_cells = _users(people)
    codes = {str(code): name for code, name in enumerate(OCCUPATIONS)}
    users["occupation"] = users["occupation"].map(lambda code: codes.get(code, code)).astype("str")
    films = read_split(files.items, folder, (Columns.ITEM, Columns.TITLE, GENRES), "::")
    items, _ = attributes_of(films, "items", (Columns.ITEM, Columns.TITLE, GENRES), ())
    return Tables(
        events, users, items, pd.concat([cells, user_cells], ignore_index=True), clock, used
    )


def _ratings_dat(files: Files) -> Table:
    # pandas reads single-character separators fast; every second field is then empty
    names = (Columns.USER, "_1", Columns.ITEM, "_2", Columns.RATING, "_3", Columns.TIME)
    return read_table(files.events[0], files.root, columns=names, separator=":", encoding="latin-1")


def _sequences_csv(files: Files) -> Table:
    table = read_table(files.events[0], files.root)
    require(table, files.events[0].name, ("user_id", "position", "movie_id", "rating"))
    cells = table.cells.rename(columns={"user_id": Columns.USER, "movie_id": Columns.ITEM})
    user, _ = pd.factorize(table.column("user_id"))
    place = np.lexsort((parse_numbers(cells["position"]).to_numpy(), user))
    return Table(
        cells.iloc[place].reset_index(drop=True), table.origin.iloc[place].reset_index(drop=True)
    )


def _ml_1m_txt(files: Files) -> Table:
    names = (Columns.USER, Columns.ITEM)
    return read_table(files.events[0], files.root, columns=names, separator=" ")


_READERS = {
    "ratings.dat": _ratings_dat,
    "sequences.csv": _sequences_csv,
    "ml-1m.txt": _ml_1m_txt,
}


def _events(log: Table, files: Files, *, clock: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    if not len(log):
        raise EmptyLogError([files.events[0].name])
    numbers = [c for c in _NUMBERS if c in log.cells and (clock or c != Columns.TIME)]
    written = {c: log.column(c) for c in numbers}
    parsed = {c: parse_numbers(v) for c, v in written.items()}
    events = make_events(
        {
            Columns.USER: log.ids(Columns.USER),
            Columns.ITEM: log.ids(Columns.ITEM),
            Columns.BEHAVIOUR: RATING,
            Columns.SOURCE: "ratings",
            **{str(name): column for name, column in log.origin.items()},
            **parsed,
        }
    )
    lost = [unparsed("events", c, written[c], parsed[c], log.origin) for c in numbers]
    cells = pd.concat(lost, ignore_index=True) if lost else no_cells()
    return in_order_of_arrival([events]), cells


def _users(people: Table) -> tuple[pd.DataFrame, pd.DataFrame]:
    columns = (Columns.USER, "age", "gender", "occupation")
    users, cells = attributes_of(people, "users", columns, ("age",))
    code = people.column("zip").str[:1]
    # codes of other countries begin with a letter
    region = code.where(code.str.isdigit().eq(True) | code.isna(), "other")
    parts = [users[list(columns)], region.rename("region"), users[list(ORIGIN)]]
    return pd.concat(parts, axis=1), cells


def _items_100k(path: Path, folder: Path) -> pd.DataFrame:
    genres = read_split(folder / "u.genre", folder, ("genre", "number"), "|").column("genre")
    names = [str(name) for name in genres.dropna()]
    columns = (Columns.ITEM, Columns.TITLE, "released", "video", "address", *names)
    films = read_split(path, folder, columns, "|")
    items, _ = attributes_of(films, "items", (Columns.ITEM, Columns.TITLE), ())
    flags = films.cells[names].to_numpy() == "1"
    joined = ["|".join(np.array(names)[row]) for row in flags]
    genre = pd.Series(joined, dtype="str")
    items.insert(2, GENRES, genre.where(genre.ne("")))
    return items
