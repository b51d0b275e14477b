import gzip
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from decant.data.sources.delimited import EmptyLogError, MissingColumnError, UnreadableTableError
from decant.data.sources.own_events import QUOTED, SECOND_LINE
from decant.data.sources.own_files import UnmatchedIdsError
from decant.data.sources.readers import read
from decant.data.tables import Tables
from decant.params.data import Ingest


def tables(folder: Path, files: dict[str, str], **settings: Any) -> Tables:
    for name, text in files.items():
        (folder / name).write_text(text)
    return read("files", folder, Ingest(**settings))


def test_user_and_item_are_enough(tmp_path) -> None:
    result = tables(tmp_path, {"events.csv": "user,item\nb,1\na,2\n"})
    assert result.events[["user", "item", "behaviour"]].to_numpy().tolist() == [
        ["b", "1", "purchase"],
        ["a", "2", "purchase"],
    ]
    assert not result.clock
    assert len(result.users) == len(result.items) == 0


def test_every_role_can_have_a_column_of_its_own(tmp_path) -> None:
    result = tables(
        tmp_path,
        {"events.csv": "who,what,when,how,stars\na,2,1700000100,click,4\nb,1,1700000000,buy,x\n"},
        user="who",
        item="what",
        time="when",
        behaviour="how",
        rating="stars",
    )
    assert result.clock
    assert result.events[["user", "item", "time", "behaviour"]].to_numpy().tolist() == [
        ["b", "1", 1.7e9, "buy"],
        ["a", "2", 1.7e9 + 100, "click"],
    ]
    assert result.events["rating"].isna().tolist() == [True, False]
    assert result.unparsed["value"].tolist() == ["x"]


def test_logs_may_be_many_files_and_parquet(tmp_path) -> None:
    times = pd.to_datetime(["2026-03-02", "2026-03-01"])
    frame = pd.DataFrame({"user": [1.0, None], "item": [7, 8], "time": times})
    frame.to_parquet(tmp_path / "log-1.parquet")
    frame.to_parquet(tmp_path / "log-2.parquet")
    result = tables(tmp_path, {}, events="log-*.parquet", time="time")
    assert result.events["item"].tolist() == ["8", "8", "7", "7"]
    assert result.events["file"].tolist()[:2] == ["log-1.parquet", "log-2.parquet"]
    assert result.events["user"].tolist()[2:] == ["1", "1"]


def test_ids_that_floating_point_cannot_tell_apart_are_an_error(tmp_path) -> None:
    frame = pd.DataFrame({"user": [2.0**53, None, 1.0], "item": [7, 8, 9]})
    frame.to_parquet(tmp_path / "log.parquet")
    with pytest.raises(
        UnreadableTableError, match=r"log\.parquet: `user` .* beyond 2\^53.*\(rows: 1\)"
    ):
        tables(tmp_path, {}, events="log.parquet")
    (tmp_path / "events.csv").write_text("user,item\n1,7\n")
    with pytest.raises(UnreadableTableError, match=r"log\.parquet: `user`"):
        tables(tmp_path, {}, users="log.parquet")


@pytest.mark.parametrize("line", ["u1 i1 i2  i3", "u1,i1, i2,i3", "u1\ti1 i2,i3 "])
def test_a_line_may_be_a_users_whole_sequence(tmp_path, line: str) -> None:
    result = tables(tmp_path, {"events.csv": f"{line}\nu2 i9\n"}, layout="sequences")
    assert result.events[["user", "item", "row"]].to_numpy().tolist() == [
        ["u1", "i1", 1],
        ["u1", "i2", 1],
        ["u1", "i3", 1],
        ["u2", "i9", 2],
    ]
    assert not result.clock


def test_a_sequence_without_items_is_kept_as_a_row_without_one(tmp_path) -> None:
    result = tables(tmp_path, {"events.csv": "u1 i1\nu2\n"}, layout="sequences")
    assert result.events["item"].isna().tolist() == [False, True]


def test_sequences_may_be_packed(tmp_path) -> None:
    (tmp_path / "events.txt.gz").write_bytes(gzip.compress(b"u1 i1 i2\n"))
    result = tables(tmp_path, {}, events="events.txt.gz", layout="sequences")
    assert result.events["item"].tolist() == ["i1", "i2"]


def test_events_are_no_sequences(tmp_path) -> None:
    log = "a,1,17\na,2,18\nb,1,19\na,3,20\n"
    events = tables(tmp_path, {"events.csv": log}, layout="sequences").events
    assert events["malformed"].dropna().tolist() == [SECOND_LINE] * 2
    assert events.loc[events["malformed"].notna(), "row"].tolist() == [2, 4]
    assert len(events) == 6


def test_a_quotation_mark_in_a_sequence_makes_the_line_malformed(tmp_path) -> None:
    events = tables(tmp_path, {"events.csv": 'a 1 2\n"b" "1"\n'}, layout="sequences").events
    assert events["malformed"].fillna("").tolist() == ["", "", QUOTED]


@pytest.mark.parametrize("header", ["who,items", "user_id items", "Who"])
def test_sequences_have_no_header(tmp_path, header: str) -> None:
    with pytest.raises(UnreadableTableError, match=r"events\.csv: line 1 begins with .*a header"):
        tables(tmp_path, {"events.csv": f"{header}\na 1\n"}, layout="sequences", user="who")


def test_sequences_are_no_parquet(tmp_path) -> None:
    pd.DataFrame({"user": ["a"]}).to_parquet(tmp_path / "events.parquet")
    with pytest.raises(UnreadableTableError, match=r"events\.parquet: is Parquet"):
        tables(tmp_path, {}, events="events.parquet", layout="sequences")


def test_attributes_are_numeric_where_nearly_all_cells_are(tmp_path) -> None:
    ages = "".join(f"u{i},{20 + i},x{i}\n" for i in range(10)) + "u10,old,7\n"
    result = tables(
        tmp_path,
        {"events.csv": "user,item\nu1,1\n", "users.csv": "user,age,code\n" + ages},
        users="users.csv",
    )
    assert str(result.users["age"].dtype) == "float64"
    assert str(result.users["code"].dtype) == "str"
    assert result.unparsed[["column", "value"]].to_numpy().tolist() == [["age", "old"]]


def test_a_table_of_other_users_is_an_error_that_shows_how_both_write_them(tmp_path) -> None:
    files = {"events.csv": "user,item\n0,1\n7,1\n", "users.csv": "user,age\n0.5,3\nAb7,4\n"}
    with pytest.raises(UnmatchedIdsError) as caught:
        tables(tmp_path, files, users="users.csv")
    assert str(caught.value) == (
        "no user of the events has a row in the table of users: ids look like `9` (events.csv:2) "
        "and like `9.9` (users.csv:2) (9: a digit, a: a letter); they must be equal"
    )


def test_a_table_of_other_items_is_an_error(tmp_path) -> None:
    files = {"events.csv": "user,item\n0,x1\n", "items.csv": "item,title\nX1,hat\n"}
    with pytest.raises(UnmatchedIdsError, match=r"like `a9` \(.* and like `A9` \(items\.csv:2\)"):
        tables(tmp_path, files, items="items.csv")


@pytest.mark.parametrize("name", ["users", "items"])
def test_a_table_without_rows_is_an_error(tmp_path, name: str) -> None:
    files = {"events.csv": "user,item\n0,1\n", f"{name}.csv": "user,item,title\n"}
    with pytest.raises(
        UnreadableTableError, match=rf"{name}\.csv: has no rows.*ingest\.{name}: null"
    ):
        tables(tmp_path, files, **{name: f"{name}.csv"})


def test_the_title_may_have_another_name(tmp_path) -> None:
    files = {"events.csv": "user,sku\nu1,1\n", "items.csv": "sku,name,price\n1,hat,3\n"}
    result = tables(tmp_path, files, item="sku", items="items.csv", item_title="name")
    assert list(result.items) == ["item", "title", "price", "file", "row", "malformed"]
    with pytest.raises(
        MissingColumnError, match=r"no column `nme` \(ingest\.items: .*title.*`name`"
    ):
        tables(tmp_path, files, item="sku", items="items.csv", item_title="nme")


def test_the_id_of_an_item_may_be_its_title(tmp_path) -> None:
    files = {"events.csv": "user,name\nu1,hat\n", "items.csv": "name,price\nhat,3\n"}
    result = tables(tmp_path, files, item="name", items="items.csv", item_title="name")
    assert result.items[["item", "title", "price"]].to_numpy().tolist() == [["hat", "hat", 3.0]]


def test_a_misspelt_column_names_its_setting(tmp_path) -> None:
    with pytest.raises(
        MissingColumnError, match=r"events\.csv: no column `tme` \(ingest\.time\).*`time`"
    ):
        tables(tmp_path, {"events.csv": "user,item,time\na,1,2\n"}, time="tme")


def test_a_column_whose_name_is_taken_is_an_error(tmp_path) -> None:
    files = {"events.csv": "user,item\nu,1\n", "users.csv": "user,row\nu,1\n"}
    with pytest.raises(UnreadableTableError, match=r"users\.csv: the column name `row`"):
        tables(tmp_path, files, users="users.csv")
    files |= {"items.csv": "item,name,title\n1,a,b\n"}
    with pytest.raises(UnreadableTableError, match=r"items\.csv: the column name `title`"):
        tables(tmp_path, files, items="items.csv", item_title="name")


@pytest.mark.parametrize(("text", "layout"), [("user,item\n", "table"), ("", "sequences")])
def test_a_log_without_rows_is_an_error(tmp_path, text: str, layout: str) -> None:
    with pytest.raises(EmptyLogError, match=r"events\.csv: no events"):
        tables(tmp_path, {"events.csv": text}, layout=layout)


def test_ids_have_their_one_form_before_files_are_put_together(tmp_path) -> None:
    frame = pd.DataFrame({"user": [12.0, None], "item": ["cafe\u0301", "7.0"]})
    frame.to_parquet(tmp_path / "log-2.parquet")
    files = {"log-1.csv": "user,item\n12,caf\u00e9\n13,7\n"}
    result = tables(tmp_path, files, events="log-*")
    assert result.events[["user", "item"]].fillna("").to_numpy().tolist() == [
        ["12", "caf\u00e9"], ["13", "7"], ["12", "caf\u00e9"], ["", "7"],
    ]  # fmt: skip
    assert any(
        "events.item: 2 cells normalised to the canonical form of an id" in n for n in result.notes
    )


def test_no_note_shows_a_users_id(tmp_path) -> None:
    result = tables(tmp_path, {"events.csv": "user,item\nsecret.0,1\n77.0,1\n"})
    (note,) = [note for note in result.notes if "events.user" in note]
    assert "77" not in note


def test_spellings_of_a_missing_value_are_missing_and_counted(tmp_path) -> None:
    files = {
        "events.csv": "user,item\nNULL,i1\nu1,\\N\nu1,i1\nu2,none\n",
        "users.csv": "user,age,city\nu1,31,NULL\nu2,NULL,NA\nu3,NULL,Lyon\n",
    }
    result = tables(tmp_path, files, users="users.csv")
    assert result.events[["user", "item"]].fillna("").to_numpy().tolist() == [
        ["", "i1"], ["u1", ""], ["u1", "i1"], ["u2", "none"],
    ]  # fmt: skip
    assert result.users["age"].tolist()[0] == 31.0  # two thirds of NULL make it no text
    assert result.users["city"].fillna("").tolist() == ["", "NA", "Lyon"]
    assert (
        "users.age: 2 cells taken as missing (`NULL` 2; ingest.missing lists these spellings)"
        in (result.notes)
    )
    assert not len(result.unparsed)


def test_what_means_missing_is_a_setting(tmp_path) -> None:
    files = {"events.csv": "user,item\nNULL,i1\nu1,i1\n", "users.csv": "user,age\nu1,-999\nu2,3\n"}
    pd.DataFrame({"user": ["u1", "u2"], "age": [-999, 3]}).to_parquet(tmp_path / "users.parquet")
    for users in ("users.csv", "users.parquet"):
        result = tables(tmp_path, files, users=users, missing=["-999"])
        assert result.events["user"].tolist() == ["NULL", "u1"]
        assert result.users["age"].fillna(0).tolist() == [0, 3]


def test_a_column_that_a_few_cells_make_text_or_that_loses_some_says_so(tmp_path) -> None:
    rows = [f"u{n},{n % 4 + 1},{n},{n}\n" for n in range(36)]
    rows += [f"v{n},5+,old,x{n % 3}{n % 2}\n" for n in range(4)]
    files = {
        "events.csv": "user,item\nu1,1\n",
        "users.csv": "user,size,age,code\n" + "".join(rows),
    }
    result = tables(tmp_path, files, users="users.csv")
    assert [str(result.users[c].dtype) for c in ("size", "age", "code")] == [
        "str",
        "float64",
        "float64",
    ]
    message = {note.split(" ")[0]: note for note in result.notes}
    assert (
        "users.size is read as text, each value a category: 36 of 40 cells are numbers, but"
        in (message["users.size"])
    )
    assert "there are `5+` 4" in message["users.size"]
    assert "4 of 40 cells are not numbers and left empty (`old` 4)" in message["users.age"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_truth_value_is_one_however_it_is_written(tmp_path, kind: str) -> None:
    if kind == "parquet":
        frame = pd.DataFrame({"user": ["u1", "u2", "u3"], "premium": [True, False, None]})
        frame.to_parquet(tmp_path / "users.parquet")
    files = {
        "events.csv": "user,item\nu1,1\n",
        "users.csv": "user,premium\nu1,TRUE\nu2,False\nu3,\n",
    }
    result = tables(tmp_path, files, users=f"users.{kind}")
    assert result.users["premium"].fillna("").tolist() == ["true", "false", ""]


def test_each_table_may_call_its_ids_otherwise(tmp_path) -> None:
    files = {
        "events.csv": "who,sku\nu1,1\n",
        "users.csv": "id,age\nu1,3\n",
        "items.csv": "code,label\n1,hat\n",
    }
    (tmp_path / "image.csv").write_text("product,v0\n1,0.5\n")
    result = tables(
        tmp_path, files, user="who", item="sku", users={"file": "users.csv", "id": "id"},
        items={"file": "items.csv", "id": "code", "title": "label"},
        vectors={"image": {"file": "image.csv", "id": "product"}},
    )  # fmt: skip
    assert result.users[["user", "age"]].to_numpy().tolist() == [["u1", 3.0]]
    assert result.items[["item", "title"]].to_numpy().tolist() == [["1", "hat"]]
    assert result.vectors["image"]["item"].tolist() == ["1"]


@pytest.mark.parametrize("name", ["users", "items"])
def test_the_column_that_holds_the_ids_of_the_events_is_offered(tmp_path, name: str) -> None:
    files = {
        "events.csv": "user,item\na1,a1\na2,a2\n",
        f"{name}.csv": "id,title\na1,x\na2,y\nb9,z\n",
    }
    with pytest.raises(MissingColumnError) as caught:
        tables(tmp_path, files, **{name: f"{name}.csv"})
    assert str(caught.value) == (
        f"{name}.csv: no column `{name[:-1]}` (ingest.{name}: {{file: {name}.csv, id: …}}); `id` "
        "holds the ids of the events; columns: id, title"
    )


def test_fields_may_be_separated_by_any_mark(tmp_path) -> None:
    files = {"events.dat": "user\titem\na\t1\n", "users.txt": "user;age\na;3\n"}
    result = tables(tmp_path, files, events="events.dat", users="users.txt")
    assert result.users["age"].tolist() == [3.0]
    assert result.notes[:1] == ("events.dat: fields are separated by tabs",)
    with pytest.raises(MissingColumnError, match="columns: user\titem"):
        tables(tmp_path, files, events="events.dat", delimiter="pipe")


def test_the_order_of_files_is_natural_and_said_where_it_is_that_of_the_events(tmp_path) -> None:
    files = {f"log-{n}.csv": f"user,item\na,step{n}\n" for n in (1, 10, 2)}
    result = tables(tmp_path, files, events="log-*.csv")
    assert result.events["item"].tolist() == ["step1", "step2", "step10"]
    assert result.notes == (
        "without times, events are in the order of the files: log-1.csv, log-2.csv, log-10.csv",
    )


def test_equal_times_keep_the_order_of_rows_and_are_counted(tmp_path) -> None:
    rows = "user,item,time\na,z,2026-03-01\na,y,2026-03-01\nb,x,2026-03-01\na,w,2026-02-01\n"
    result = tables(tmp_path, {"events.csv": rows}, time="time")
    assert result.events["item"].tolist() == ["w", "z", "y", "x"]
    assert result.notes[-1] == (
        "2 of 4 events share their time with another event of the same user: they keep the "
        "order of files and rows"
    )


def test_times_of_two_trackers_are_read_each_in_its_unit(tmp_path) -> None:
    files = {
        "log-app.csv": "user,item,time\na,i3,1700000600000\n",
        "log-web.csv": "user,item,time\na,i1,1700000000\na,i2,1700001200\n",
    }
    result = tables(tmp_path, files, events="log-*.csv", time="time")
    assert result.events["item"].tolist() == ["i1", "i3", "i2"]
    assert len([note for note in result.notes if "since 1970" in note]) == 2


def test_times_that_their_type_has_rounded_are_an_error(tmp_path) -> None:
    frame = pd.DataFrame(
        {"user": ["a"], "item": ["x"], "time": pd.Series([1.7e9], dtype="float32")}
    )
    frame.to_parquet(tmp_path / "log.parquet")
    with pytest.raises(UnreadableTableError, match=r"log\.parquet: `time` holds times as float32"):
        tables(tmp_path, {}, events="log.parquet", time="time")
