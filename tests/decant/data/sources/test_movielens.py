from pathlib import Path

import pytest

from decant.data.sources.delimited import EmptyLogError, MissingColumnError
from decant.data.sources.readers import read
from decant.params.data import Ingest

USERS_1M = "1::F::1::10::48067\n2::M::56::16::V3N4P\n"
MOVIES_1M = "10::Am\xe9lie: A Film (2001)::Comedy|Romance\n20::Heat (1995)::Action\n"


def folder_100k(folder: Path, log: str = "1\t10\t5\t200\n2\t20\t3\t100\n") -> Path:
    flags = ["0"] * 19
    comedy = "|".join([*flags[:1], "1", "1", *flags[3:]])
    none = "|".join(flags)
    (folder / "u.data").write_text(log)
    (folder / "u.user").write_text("1|24|M|technician|85711\n2|x|F|other|V3N4P\n")
    genres = "".join(f"g{i}|{i}\n" for i in range(19))
    (folder / "u.genre").write_text(genres + "\n")
    (folder / "u.item").write_bytes(
        f"10|Am\xe9lie (2001)|01-Jan-2001||http://x|{comedy}\n20|Heat||||{none}\n".encode("latin-1")
    )
    return folder


def folder_1m(folder: Path, **logs: str) -> Path:
    (folder / "users.dat").write_text(USERS_1M)
    (folder / "movies.dat").write_bytes(MOVIES_1M.encode("latin-1"))
    for name, text in logs.items():
        path = {"ratings": "ratings.dat", "sequences": "sequences.csv", "order": "ml-1m.txt"}[name]
        (folder / path).write_text(text)
    return folder


def test_100k_ratings_are_events_in_order_of_time(tmp_path) -> None:
    events = read("movielens-100k", folder_100k(tmp_path), Ingest()).events
    assert events[["user", "item", "time", "rating", "row"]].to_numpy().tolist() == [
        ["2", "20", 100.0, 3.0, 2],
        ["1", "10", 200.0, 5.0, 1],
    ]
    assert set(events["behaviour"]) == {"rating"}


def test_100k_users_and_films_have_their_attributes(tmp_path) -> None:
    tables = read("movielens-100k", folder_100k(tmp_path), Ingest())
    assert tables.users["region"].tolist() == ["8", "other"]
    assert tables.users["age"].isna().tolist() == [False, True]
    assert tables.unparsed["value"].tolist() == ["x"]
    assert tables.items["title"].tolist() == ["Amélie (2001)", "Heat"]
    assert tables.items["genres"].tolist()[0] == "g1|g2"
    assert tables.items["genres"].isna().tolist() == [False, True]


def test_1m_ratings_have_times_and_are_preferred(tmp_path) -> None:
    folder = folder_1m(tmp_path, ratings="1::10::5::200\n2::20::3::100\n", order="1 1\n")
    tables = read("movielens-1m", folder, Ingest())
    assert tables.used == ("ratings.dat", "users.dat", "movies.dat")
    assert tables.clock
    assert tables.events[["user", "item", "time", "rating"]].to_numpy().tolist() == [
        ["2", "20", 100.0, 3.0],
        ["1", "10", 200.0, 5.0],
    ]


def test_1m_codes_become_words_and_zip_codes_regions(tmp_path) -> None:
    tables = read("movielens-1m", folder_1m(tmp_path, ratings="1::10::5::200\n"), Ingest())
    assert tables.users[["age", "gender", "occupation", "region"]].to_numpy().tolist() == [
        [1.0, "F", "K-12 student", "4"],
        [56.0, "M", "self-employed", "other"],
    ]
    assert tables.items["title"].tolist() == ["Amélie: A Film (2001)", "Heat (1995)"]


def test_1m_sequences_are_ordered_by_position_and_have_no_clock(tmp_path) -> None:
    log = "user_id,position,movie_id,rating\n2,1,20,3\n2,0,10,4\n1,0,20,5\n"
    tables = read("movielens-1m", folder_1m(tmp_path, sequences=log), Ingest())
    assert not tables.clock
    assert tables.events[["user", "item", "rating", "row"]].to_numpy().tolist() == [
        ["2", "10", 4.0, 3],
        ["2", "20", 3.0, 2],
        ["1", "20", 5.0, 4],
    ]
    assert tables.events["time"].isna().all()


def test_the_renumbered_log_has_no_attributes(tmp_path) -> None:
    tables = read("movielens-1m", folder_1m(tmp_path, order="1 3\n1 2\n2 3\n"), Ingest())
    assert tables.used == ("ml-1m.txt",)
    assert tables.events["item"].tolist() == ["3", "2", "3"]
    assert tables.events["rating"].isna().all()
    assert len(tables.users) == len(tables.items) == 0


def test_an_unreadable_rating_is_missing_and_kept_as_it_was(tmp_path) -> None:
    tables = read("movielens-100k", folder_100k(tmp_path, "1\t10\tfive\t200\n"), Ingest())
    assert tables.events["rating"].isna().all()
    assert tables.unparsed["value"].tolist() == ["five", "x"]


def test_a_misspelt_column_and_an_empty_log_are_errors(tmp_path) -> None:
    with pytest.raises(MissingColumnError, match=r"sequences\.csv: no column `movie_id`.*`movie`"):
        log = "user_id,position,movie,rating\n1,0,1,1\n"
        read("movielens-1m", folder_1m(tmp_path, sequences=log), Ingest())
    with pytest.raises(EmptyLogError, match=r"sequences\.csv: no events"):
        log = "user_id,position,movie_id,rating\n"
        read("movielens-1m", folder_1m(tmp_path, sequences=log), Ingest())
