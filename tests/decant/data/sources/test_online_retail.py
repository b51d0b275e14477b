from pathlib import Path

import pytest

from decant.data.sources.delimited import EmptyLogError, MissingColumnError
from decant.data.sources.readers import read
from decant.params.data import Ingest

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
DAYS = {
    "2010-12-01.csv": (
        "1,85123A,HEART,6,2010-12-01 08:26:00,2.5,17850.0,France\n"
        "1,85123a,HEART T-LIGHT,6,2010-12-01 08:26:00,3.5,17850.0,France\n"
        "C2,85123A,HEART,-1,2010-12-01 09:00:00,2.5,17850.0,France\n"
        "3,POST,POSTAGE,1,2010-12-01 09:30:00,18,13047.0,Spain\n"
    ),
    "2010-12-02.csv": (
        "4,22423,?,-5,2010-12-02 08:00:00,0,,United Kingdom\n"
        "5,22423,CAKESTAND,1,2010-12-02 09:00:00,12.75,,United Kingdom\n"
        "6,85123A,HEART,1,2010-12-02 10:00:00,2.5,13047,Spain\n"
    ),
}


def shop(folder: Path) -> Path:
    (folder / "by-day").mkdir()
    for name, rows in DAYS.items():
        (folder / "by-day" / name).write_text(HEADER + rows)
    return folder


def test_only_sold_products_are_purchases(tmp_path) -> None:
    events = read("online-retail", shop(tmp_path), Ingest()).events
    assert events["behaviour"].tolist() == [
        "purchase",
        "purchase",
        "cancellation",
        "charge",
        "correction",
        "purchase",
        "purchase",
    ]


def test_days_follow_one_another_and_a_basket_keeps_its_order(tmp_path) -> None:
    events = read("online-retail", shop(tmp_path), Ingest()).events
    assert events["item"].tolist()[:2] == ["85123A", "85123A"]
    assert events.loc[6, ["file", "row"]].tolist() == ["by-day/2010-12-02.csv", 4]
    assert events["time"].tolist()[0] == 1_291_191_960.0
    assert events["user"].tolist()[:2] == ["17850", "17850"]
    assert events["user"].isna().sum() == 2


def test_items_have_the_most_frequent_title_and_the_median_price(tmp_path) -> None:
    items = read("online-retail", shop(tmp_path), Ingest()).items.set_index("item")
    assert items.loc["85123A", ["title", "price"]].tolist() == ["HEART", 2.5]
    assert items.loc["22423", ["title", "price"]].tolist() == ["?", 12.75]


def test_users_have_a_country_and_one_row_each(tmp_path) -> None:
    users = read("online-retail", shop(tmp_path), Ingest()).users
    assert users[["user", "country"]].to_numpy().tolist() == [
        ["17850", "France"],
        ["13047", "Spain"],
    ]


def test_one_file_as_a_spreadsheet_exports_it_is_read(tmp_path) -> None:
    row = "1,22423,CAF\xc9,1,12/1/2010 8:26,2.5,17850,France\n"
    (tmp_path / "Online Retail.csv").write_bytes((HEADER + row).encode("latin-1"))
    tables = read("online-retail", tmp_path / "Online Retail.csv", Ingest())
    assert tables.events["time"].tolist() == [1_291_191_960.0]
    assert tables.items["title"].tolist() == ["CAFÉ"]


def test_a_column_of_another_edition_is_named_with_its_nearest(tmp_path) -> None:
    (tmp_path / "x.csv").write_text(HEADER.replace("CustomerID", "Customer ID"))
    with pytest.raises(MissingColumnError, match=r"x\.csv: no column `CustomerID`.*`Customer ID`"):
        read("online-retail", tmp_path, Ingest())


def test_files_with_nothing_but_a_header_are_an_empty_log(tmp_path) -> None:
    (tmp_path / "x.csv").write_text(HEADER)
    with pytest.raises(EmptyLogError):
        read("online-retail", tmp_path, Ingest())
