from pathlib import Path

import pytest

from decant.data.sources.delimited import EmptyLogError, MissingColumnError
from decant.data.sources.readers import read
from decant.params.data import Ingest

HEADER = "user,item,time\n"
FILES = {
    "views.csv": HEADER + "u1,i1,2026-03-01T00:00:00Z\n,i1,yesterday\n",
    "carts.csv": HEADER + "u1,i1,2026-03-01T00:00:15Z\n",
    "purchases.csv": HEADER,
    "users.csv": "user,age,gender,region\nu1,30,F,north\nu2,,,\n",
    "items.csv": "item,title,category,brand,price\ni1,red pan,kitchen,Elm,9.5\ni2,hat,x,y,free\n",
}


def shop(folder: Path, **changed: str) -> Path:
    for name, text in FILES.items():
        (folder / name).write_text(changed.get(name.split(".")[0], text))
    return folder


def test_the_three_logs_become_one_in_order_of_time(tmp_path) -> None:
    tables = read("demo", shop(tmp_path), Ingest())
    events = tables.events
    assert events["behaviour"].tolist() == ["view", "cart", "view"]
    assert events["source"].tolist() == ["views", "carts", "views"]
    assert events["time"].tolist()[:2] == [1_772_323_200.0, 1_772_323_215.0]
    assert events.loc[2, ["user", "time"]].isna().all()
    assert events.loc[2, ["file", "row"]].tolist() == ["views.csv", 3]
    assert tables.clock


def test_attributes_are_numbers_or_text_and_missing_ones_stay_missing(tmp_path) -> None:
    tables = read("demo", shop(tmp_path), Ingest())
    assert tables.users["age"].tolist()[0] == 30.0
    assert tables.users.loc[1, ["age", "gender", "region"]].isna().all()
    assert tables.items["price"].isna().tolist() == [False, True]
    assert tables.items["title"].tolist() == ["red pan", "hat"]


def test_cells_that_could_not_be_read_are_kept_as_they_were(tmp_path) -> None:
    cells = read("demo", shop(tmp_path), Ingest()).unparsed
    assert cells[["file", "row", "value"]].to_numpy().tolist() == [
        ["views.csv", 3, "yesterday"],
        ["items.csv", 3, "free"],
    ]


def test_a_misspelt_column_is_named_with_its_file(tmp_path) -> None:
    with pytest.raises(
        MissingColumnError, match=r"carts\.csv: no column `user`; did you mean `usr`"
    ):
        read("demo", shop(tmp_path, carts="usr,item,time\n"), Ingest())
    with pytest.raises(MissingColumnError, match=r"users\.csv: no column `region`"):
        read("demo", shop(tmp_path, users="user,age,gender\n"), Ingest())


def test_logs_without_a_row_are_an_error(tmp_path) -> None:
    with pytest.raises(EmptyLogError, match=r"views\.csv, carts\.csv, purchases\.csv: no events"):
        read("demo", shop(tmp_path, views=HEADER, carts=HEADER), Ingest())
