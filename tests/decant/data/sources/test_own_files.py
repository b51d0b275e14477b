import gzip
from pathlib import Path

import pandas as pd
import pytest

from decant.data.sources.delimited import ColumnMissing, EmptyLog, TableUnreadable
from decant.data.sources.own_files import IdsDoNotMatch, QUOTED, SECOND_LINE
from decant.data.sources.readers import read
from decant.data.tables import Tables
from decant.params import Ingest


def tables(folder: Path, files: dict[str, str], **settings: str) -> Tables:
    for name, text in files.items():
        (folder / name).write_text(text)
    return read("files", folder, Ingest(**settings))


def test_user_and_item_are_enough(tmp_path) -> None:
    found = tables(tmp_path, {"events.csv": "user,item\nb,1\na,2\n"})
    assert found.events[["user", "item", "behaviour"]].to_numpy().tolist() == [
        ["b", "1", "purchase"],
        ["a", "2", "purchase"],
    ]
    assert not found.clock
    assert len(found.users) == len(found.items) == 0


def test_every_role_can_have_a_column_of_its_own(tmp_path) -> None:
    found = tables(
        tmp_path,
        {"events.csv": "who,what,when,how,stars\na,2,1700000100,click,4\nb,1,1700000000,buy,x\n"},
        user="who",
        item="what",
        time="when",
        behaviour="how",
        rating="stars",
    )
    assert found.clock
    assert found.events[["user", "item", "time", "behaviour"]].to_numpy().tolist() == [
        ["b", "1", 1.7e9, "buy"],
        ["a", "2", 1.7e9 + 100, "click"],
    ]
    assert found.events["rating"].isna().tolist() == [True, False]
    assert found.unparsed["value"].tolist() == ["x"]


def test_logs_may_be_many_files_and_parquet(tmp_path) -> None:
    times = pd.to_datetime(["2026-03-02", "2026-03-01"])
    frame = pd.DataFrame({"user": [1.0, None], "item": [7, 8], "time": times})
    frame.to_parquet(tmp_path / "log-1.parquet")
    frame.to_parquet(tmp_path / "log-2.parquet")
    found = tables(tmp_path, {}, events="log-*.parquet", time="time")
    assert found.events["item"].tolist() == ["8", "8", "7", "7"]
    assert found.events["file"].tolist()[:2] == ["log-1.parquet", "log-2.parquet"]
    assert found.events["user"].tolist()[2:] == ["1", "1"]


def test_ids_that_floating_point_cannot_tell_apart_are_an_error(tmp_path) -> None:
    frame = pd.DataFrame({"user": [2.0**53, None, 1.0], "item": [7, 8, 9]})
    frame.to_parquet(tmp_path / "log.parquet")
    with pytest.raises(TableUnreadable, match=r"log\.parquet: `user` .* beyond 2\^53 \(rows: 1\)"):
        tables(tmp_path, {}, events="log.parquet")
    (tmp_path / "events.csv").write_text("user,item\n1,7\n")
    with pytest.raises(TableUnreadable, match=r"log\.parquet: `user`"):
        tables(tmp_path, {}, users="log.parquet")


@pytest.mark.parametrize("line", ["u1 i1 i2  i3", "u1,i1, i2,i3", "u1\ti1 i2,i3 "])
def test_a_line_may_be_a_users_whole_sequence(tmp_path, line: str) -> None:
    found = tables(tmp_path, {"events.csv": f"{line}\nu2 i9\n"}, layout="sequences")
    assert found.events[["user", "item", "row"]].to_numpy().tolist() == [
        ["u1", "i1", 1],
        ["u1", "i2", 1],
        ["u1", "i3", 1],
        ["u2", "i9", 2],
    ]
    assert not found.clock


def test_a_sequence_without_items_is_kept_as_a_row_without_one(tmp_path) -> None:
    found = tables(tmp_path, {"events.csv": "u1 i1\nu2\n"}, layout="sequences")
    assert found.events["item"].isna().tolist() == [False, True]


def test_sequences_may_be_packed(tmp_path) -> None:
    (tmp_path / "events.txt.gz").write_bytes(gzip.compress(b"u1 i1 i2\n"))
    found = tables(tmp_path, {}, events="events.txt.gz", layout="sequences")
    assert found.events["item"].tolist() == ["i1", "i2"]


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
    with pytest.raises(TableUnreadable, match=r"events\.csv: line 1 begins with .*a header"):
        tables(tmp_path, {"events.csv": f"{header}\na 1\n"}, layout="sequences", user="who")


def test_sequences_are_no_parquet(tmp_path) -> None:
    pd.DataFrame({"user": ["a"]}).to_parquet(tmp_path / "events.parquet")
    with pytest.raises(TableUnreadable, match=r"events\.parquet: is Parquet"):
        tables(tmp_path, {}, events="events.parquet", layout="sequences")


def test_attributes_are_numeric_where_nearly_all_cells_are(tmp_path) -> None:
    ages = "".join(f"u{i},{20 + i},x{i}\n" for i in range(10)) + "u10,old,7\n"
    found = tables(
        tmp_path,
        {"events.csv": "user,item\nu1,1\n", "users.csv": "user,age,code\n" + ages},
        users="users.csv",
    )
    assert str(found.users["age"].dtype) == "float64"
    assert str(found.users["code"].dtype) == "str"
    assert found.unparsed[["column", "value"]].to_numpy().tolist() == [["age", "old"]]


def test_a_table_of_other_users_is_an_error_that_shows_how_both_write_them(tmp_path) -> None:
    files = {"events.csv": "user,item\n0,1\n7,1\n", "users.csv": "user,age\n0.0,3\nAb7,4\n"}
    with pytest.raises(IdsDoNotMatch) as caught:
        tables(tmp_path, files, users="users.csv")
    assert str(caught.value) == (
        "no user of the events has a row in the table of users: ids look like `9` (events.csv:2) "
        "and like `9.9` (users.csv:2) (9: a digit, a: a letter); they must be the same"
    )


def test_a_table_of_other_items_is_an_error(tmp_path) -> None:
    files = {"events.csv": "user,item\n0,x1\n", "items.csv": "item,title\nX1,hat\n"}
    with pytest.raises(IdsDoNotMatch, match=r"like `a9` \(.* and like `A9` \(items\.csv:2\)"):
        tables(tmp_path, files, items="items.csv")


@pytest.mark.parametrize("name", ["users", "items"])
def test_a_table_without_rows_is_an_error(tmp_path, name: str) -> None:
    files = {"events.csv": "user,item\n0,1\n", f"{name}.csv": "user,item,title\n"}
    with pytest.raises(TableUnreadable, match=rf"{name}\.csv: has no rows.*ingest\.{name}: null"):
        tables(tmp_path, files, **{name: f"{name}.csv"})


def test_the_title_may_have_another_name(tmp_path) -> None:
    files = {"events.csv": "user,sku\nu1,1\n", "items.csv": "sku,name,price\n1,hat,3\n"}
    found = tables(tmp_path, files, item="sku", items="items.csv", item_title="name")
    assert list(found.items) == ["item", "title", "price", "file", "row", "malformed"]
    with pytest.raises(ColumnMissing, match=r"no column `nme` \(ingest\.item_title\).*`name`"):
        tables(tmp_path, files, item="sku", items="items.csv", item_title="nme")


def test_the_id_of_an_item_may_be_its_title(tmp_path) -> None:
    files = {"events.csv": "user,name\nu1,hat\n", "items.csv": "name,price\nhat,3\n"}
    found = tables(tmp_path, files, item="name", items="items.csv", item_title="name")
    assert found.items[["item", "title", "price"]].to_numpy().tolist() == [["hat", "hat", 3.0]]


def test_a_misspelt_column_names_its_setting(tmp_path) -> None:
    with pytest.raises(
        ColumnMissing, match=r"events\.csv: no column `tme` \(ingest\.time\).*`time`"
    ):
        tables(tmp_path, {"events.csv": "user,item,time\na,1,2\n"}, time="tme")


def test_a_column_whose_name_is_taken_is_an_error(tmp_path) -> None:
    files = {"events.csv": "user,item\nu,1\n", "users.csv": "user,row\nu,1\n"}
    with pytest.raises(TableUnreadable, match=r"users\.csv: the column `row`"):
        tables(tmp_path, files, users="users.csv")
    files |= {"items.csv": "item,name,title\n1,a,b\n"}
    with pytest.raises(TableUnreadable, match=r"items\.csv: the column `title`"):
        tables(tmp_path, files, items="items.csv", item_title="name")


@pytest.mark.parametrize(("text", "layout"), [("user,item\n", "table"), ("", "sequences")])
def test_a_log_without_rows_is_an_error(tmp_path, text: str, layout: str) -> None:
    with pytest.raises(EmptyLog, match=r"events\.csv: no events"):
        tables(tmp_path, {"events.csv": text}, layout=layout)
