"""Protocol P1 of MovieLens 1M, on a small log: what is left out, the order, what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from decant.data.sources import p1
from decant.data.sources.p1 import AT_LEAST, OtherDataError, difference, digest, facts
from decant.data.sources.readers import read
from decant.data.tables import Tables
from decant.params.data import Ingest

FILMS = "abcdef"
P1 = Ingest(protocol="p1")
PUBLISHED = p1.P1  # the small log takes its place in each test
Row = tuple[str, str, int, int]  # user, film, rating, time


def ratings() -> list[Row]:
    """Six users by six films, the later users first in time; two films more, one too rare."""
    rows = [
        (str(user), film, 1 + (user + n) % 5, 1000 - 100 * user + n // 2)
        for user in range(6)
        for n, film in enumerate(np.roll(list(FILMS), user).tolist())
    ]
    rare = [("0", "rare", 3, 0), ("1", "rare", 3, 0), ("few", "a", 4, 5), ("few", "b", 4, 4)]
    return rare + rows


def dat(rows: list[Row]) -> str:
    return "".join(f"{'::'.join(map(str, row))}\n" for row in rows)


def order(rows: list[Row]) -> dict[str, list[str]]:
    """Each user's films under P1, counted and sorted by hand."""
    users = [row[0] for row in rows]
    films = [row[1] for row in rows]
    kept = [r for r in rows if min(users.count(r[0]), films.count(r[1])) >= AT_LEAST]
    by_user: dict[str, list[Row]] = {}
    for row in kept:
        by_user.setdefault(row[0], []).append(row)
    return {user: [r[1] for r in sorted(own, key=lambda r: r[3])] for user, own in by_user.items()}


def as_sequences(rows: list[Row]) -> str:
    """`sequences.csv` of the same events."""
    stars = {row[:2]: row[2] for row in rows}
    lines = [
        f"{user},{place},{film},{stars[user, film]}"
        for user, films in order(rows).items()
        for place, film in enumerate(films)
    ]
    return "\n".join(["user_id,position,movie_id,rating", *lines, ""])


def as_benchmark_file(rows: list[Row]) -> str:
    """`ml-1m.txt`: users in another order, all ids renumbered."""
    films: dict[str, int] = {}
    users = reversed(order(rows).values())
    return "".join(
        f"{user} {films.setdefault(film, len(films) + 1)}\n"
        for user, seen in enumerate(users, start=1)
        for film in seen
    )


def folder(path: Path, **logs: str) -> Path:
    """A folder with one or more logs and the publisher's two tables."""
    path.mkdir(exist_ok=True)
    names = {"ratings": "ratings.dat", "sequences": "sequences.csv", "benchmark": "ml-1m.txt"}
    for name, text in logs.items():
        (path / names[name]).write_text(text)
    (path / "users.dat").write_text("".join(f"{u}::F::25::1::1\n" for u in range(6)))
    (path / "movies.dat").write_text("".join(f"{film}::{film.upper()}::Comedy\n" for film in FILMS))
    return path


@pytest.fixture(autouse=True)
def expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> p1.Facts:
    """P1 is the small log's, by its benchmark file."""
    place = folder(tmp_path / "expected", benchmark=as_benchmark_file(ratings()))
    events = read("movielens-1m", place, Ingest()).events
    actual = facts(events)
    monkeypatch.setattr(p1, "P1", actual)
    return actual


def under_p1(path: Path, **logs: str) -> Tables:
    return read("movielens-1m", folder(path, **logs), P1)


def test_the_benchmark_files_facts_are_committed() -> None:
    assert (PUBLISHED.users, PUBLISHED.items, PUBLISHED.events) == (6040, 3416, 999_611)
    assert len(bytes.fromhex(PUBLISHED.digest)) == 32


def test_rare_users_and_films_are_left_out_and_times_decide_the_order(tmp_path: Path) -> None:
    tables = under_p1(tmp_path, ratings=dat(ratings()))
    events = tables.events
    actual = {str(u): own["item"].tolist() for u, own in events.groupby("user", sort=False)}
    assert actual == order(ratings())
    assert list(actual) == list("012345")  # as in the file, though the last was first in time
    assert events["order"].tolist() == list(range(36))
    assert set(events["item"]) == set(FILMS)


def test_equal_times_keep_the_order_of_the_file(tmp_path: Path) -> None:
    films = under_p1(tmp_path, ratings=dat(ratings())).events
    first = films[films["user"] == "2"]["item"].tolist()
    assert first == ["e", "f", "a", "b", "c", "d"]  # pairs share a time
    swapped = ratings()
    place = next(n for n, row in enumerate(swapped) if row[0] == "2")
    swapped[place], swapped[place + 1] = swapped[place + 1], swapped[place]
    with pytest.raises(OtherDataError, match="the counts agree, but not the events or their order"):
        under_p1(tmp_path, ratings=dat(swapped))


def test_users_and_items_are_counted_before_anything_is_left_out() -> None:
    pairs = (
        [("u", f"rare{n}") for n in range(4)] + [(f"v{n}", "a") for n in range(4)] + [("u", "a")]
    )
    events = pd.DataFrame(pairs, columns=["user", "item"])
    # u has five ratings and a has five, but after one pass u is left with a single one
    assert p1.with_enough_ratings(events).to_numpy().tolist() == [["u", "a"]]


def test_four_ratings_are_too_few_and_five_are_enough() -> None:
    enough = [(f"u{user}", f"i{item}") for user in range(5) for item in range(5)]
    rare = [(f"u{user}", "four") for user in range(4)] + [("few", f"i{item}") for item in range(4)]
    events = pd.DataFrame([*enough, *rare], columns=["user", "item"])
    kept = p1.with_enough_ratings(events).itertuples(index=False, name=None)
    assert list(kept) == enough


def test_a_users_ratings_are_in_order_of_arrival_and_users_in_that_of_the_file() -> None:
    columns = {"user": ["u", "v", "u"], "item": ["first", "x", "last"], "row": [3, 1, 2]}
    events = p1.in_order(pd.DataFrame(columns).assign(time=[1.0, 2.0, 3.0]))
    assert events["item"].tolist() == ["x", "first", "last"]
    assert events["order"].tolist() == [0, 1, 2]


def test_times_are_dropped_and_it_is_said_what_was_left_out(tmp_path: Path) -> None:
    tables = under_p1(tmp_path, ratings=dat(ratings()))
    assert tables.events["time"].isna().all()
    assert not tables.clock
    assert tables.notes == (
        "protocol p1: 36 of 40 ratings, without those of users or items with fewer than 5 "
        "(1 of 7 items); only their order counts",
    )
    whole = under_p1(tmp_path / "whole", sequences=as_sequences(ratings()))
    assert whole.notes == ("protocol p1: all 36 ratings; only their order counts",)


def test_the_three_logs_give_the_same_sequences(tmp_path: Path, expected: p1.Facts) -> None:
    rows = ratings()
    logs = {
        "ratings": dat(rows), "sequences": as_sequences(rows), "benchmark": as_benchmark_file(rows),
    }  # fmt: skip
    tables = {name: under_p1(tmp_path / name, **{name: text}) for name, text in logs.items()}
    assert {facts(made.events) for made in tables.values()} == {expected}
    kept = ["user", "item", "rating", "time", "order"]
    pd.testing.assert_frame_equal(tables["ratings"].events[kept], tables["sequences"].events[kept])
    assert tables["benchmark"].used == ("ml-1m.txt",)


def test_another_catalogue_is_refused_with_what_differs(tmp_path: Path) -> None:
    fewer = [row for row in ratings() if row[1] != "f"]
    with pytest.raises(OtherDataError) as caught:
        under_p1(tmp_path, ratings=dat(fewer))
    assert str(caught.value).startswith(
        "ratings.dat: not the data of protocol p1: 5 items instead of 6, 30 events instead of 36: "
    )
    assert "--protocol none" in str(caught.value) and "\n" not in str(caught.value)
    assert read("movielens-1m", tmp_path, Ingest()).clock  # without a protocol it is read


def test_a_malformed_line_is_refused_and_not_left_out(tmp_path: Path) -> None:
    with pytest.raises(OtherDataError, match="37 events instead of 36"):
        under_p1(tmp_path, ratings=dat(ratings()) + "0::\n")


def test_the_digest_does_not_depend_on_names_or_the_order_of_users() -> None:
    users, items = pd.Series([1, 1, 1, 2, 2, 3]), pd.Series([10, 20, 30, 20, 10, 30])
    whole = digest(users, items)
    assert digest(users.map({1: "z", 2: "y", 3: "x"}), items + 7) == whole
    mixed = [3, 0, 5, 1, 4, 2]  # each user's own order is kept
    assert digest(users[mixed], items[mixed]) == whole


@pytest.mark.parametrize(
    ("users", "items"),
    [
        ([1, 1, 1, 2, 2, 3], [20, 10, 30, 20, 10, 30]),  # two events of a user swapped
        ([1, 1, 1, 2, 2, 3], [10, 20, 30, 10, 20, 30]),  # of another user
        ([1, 1, 1, 2, 2, 3], [10, 20, 30, 20, 10, 10]),  # another item
        ([1, 1, 1, 2, 2, 2], [10, 20, 30, 20, 10, 30]),  # two users are one
    ],
)
def test_the_digest_tells_other_sequences_apart(users: list[int], items: list[int]) -> None:
    whole = digest(pd.Series([1, 1, 1, 2, 2, 3]), pd.Series([10, 20, 30, 20, 10, 30]))
    assert digest(pd.Series(users), pd.Series(items)) != whole


def test_a_difference_names_each_count(expected: p1.Facts) -> None:
    assert difference(expected, expected).startswith("the counts agree")
    other = replace(expected, users=1, items=2000)
    assert difference(other, expected) == "1 users instead of 6, 2,000 items instead of 6"
