from pathlib import Path

import pytest

from decant.data.sources.layout import MissingFilesError, check_present, required_files
from decant.params.data import Ingest
from decant.params.types import SOURCES


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize("source", SOURCES)
def test_a_missing_folder_says_what_is_looked_for_and_what_to_do(tmp_path, source: str) -> None:
    with pytest.raises(MissingFilesError) as missing:
        check_present(source, tmp_path / "nowhere")
    assert "no such folder" in str(missing.value)
    assert all(name in str(missing.value) for name in required_files(source))
    todo = "`make run`" if source == "demo" else f"`make run SOURCE={source} FROM=folder`"
    assert todo in str(missing.value)
    assert ("`decant fetch" in str(missing.value)) == source.startswith("movielens")


def test_every_missing_file_is_named(tmp_path) -> None:
    touch(tmp_path, "views.csv", "users.csv", "items.csv")
    with pytest.raises(MissingFilesError, match=r"no file `carts\.csv`; no file `purchases\.csv`"):
        check_present("demo", tmp_path)


def test_movielens_1m_takes_the_best_log_that_is_there(tmp_path) -> None:
    with pytest.raises(
        MissingFilesError, match=r"none of ratings\.dat, sequences\.csv, ml-1m\.txt"
    ):
        check_present("movielens-1m", tmp_path)
    touch(tmp_path, "ml-1m.txt")
    assert check_present("movielens-1m", tmp_path).users is None
    touch(tmp_path, "sequences.csv")
    with pytest.raises(MissingFilesError, match=r"no file `users\.dat`; no file `movies\.dat`"):
        check_present("movielens-1m", tmp_path)
    touch(tmp_path, "users.dat", "movies.dat")
    assert check_present("movielens-1m", tmp_path).events[0].name == "sequences.csv"
    touch(tmp_path, "ratings.dat")
    assert check_present("movielens-1m", tmp_path).events[0].name == "ratings.dat"


def test_online_retail_is_a_folder_its_by_day_or_one_file(tmp_path) -> None:
    touch(tmp_path, "by-day/2.csv", "by-day/1.csv")
    result = check_present("online-retail", tmp_path)
    assert [path.name for path in result.events] == ["1.csv", "2.csv"]
    touch(tmp_path, "all.csv")
    assert [p.name for p in check_present("online-retail", tmp_path).events] == ["all.csv"]
    one = check_present("online-retail", tmp_path / "all.csv")
    assert (one.root, one.events) == (tmp_path, (tmp_path / "all.csv",))


def test_own_files_may_be_a_pattern(tmp_path) -> None:
    touch(tmp_path, "log-2.csv", "log-1.csv", "people.csv")
    result = check_present("files", tmp_path, Ingest(events="log-*.csv", users="people.csv"))
    assert [path.name for path in result.events] == ["log-1.csv", "log-2.csv"]
    assert result.users == tmp_path / "people.csv"


def test_numbers_in_names_are_compared_as_numbers(tmp_path) -> None:
    names = ["log-2/9.csv", "log-2/10.csv", "log-10/1.csv", "log-1/02.csv", "log-1/2.csv"]
    touch(tmp_path, *names)
    result = check_present("files", tmp_path, Ingest(events="log-*/*.csv")).events
    assert [path.relative_to(tmp_path).as_posix() for path in result] == [
        "log-1/02.csv", "log-1/2.csv", "log-2/9.csv", "log-2/10.csv", "log-10/1.csv",
    ]  # fmt: skip


def test_an_own_file_that_is_not_there_names_its_setting_and_the_nearest(tmp_path) -> None:
    touch(tmp_path, "event.csv")
    with pytest.raises(
        MissingFilesError, match=r"`events\.csv` \(ingest\.events\); did you mean `event\.csv`"
    ):
        check_present("files", tmp_path)


@pytest.mark.parametrize("name", ["../secret.csv", "/etc/passwd"])
def test_own_files_lie_within_the_folder(tmp_path, name: str) -> None:
    touch(tmp_path, "secret.csv", "raw/x.csv")
    with pytest.raises(MissingFilesError):
        check_present("files", tmp_path / "raw", Ingest(events=name))


@pytest.mark.parametrize("name", ["", ".", "**x/log.csv", "/"])
def test_what_is_no_pattern_is_named_with_its_setting(tmp_path, name: str) -> None:
    touch(tmp_path, "log.csv")
    with pytest.raises(MissingFilesError) as missing:
        check_present("files", tmp_path, Ingest(events=name))
    assert f"no file `{name}` (ingest.events)" in str(missing.value)
    assert "log.csv" in str(missing.value)


@pytest.mark.parametrize("source", ["files", "movielens-100k", "movielens-1m", "demo"])
def test_a_file_in_place_of_the_folder_is_told(tmp_path, source: str) -> None:
    touch(tmp_path, "log.csv")
    with pytest.raises(MissingFilesError, match=r"log\.csv: this is a file: give its folder"):
        check_present(source, tmp_path / "log.csv")


def test_a_table_of_users_is_one_file(tmp_path) -> None:
    touch(tmp_path, "events.csv", "u1.csv", "u2.csv")
    with pytest.raises(MissingFilesError, match=r"ingest\.users `u\*\.csv` matches 2 files"):
        check_present("files", tmp_path, Ingest(users="u*.csv"))
