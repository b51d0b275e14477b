import gzip
from pathlib import Path

import pandas as pd
import pytest

from decant.data.sources.delimited import (
    ColumnMissing,
    EmptyLog,
    TableUnreadable,
    read_split,
    read_table,
    read_tables,
    require,
)


def write(folder: Path, text: str, name: str = "log.csv") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def test_cells_stay_text_and_rows_know_their_line(tmp_path) -> None:
    table = read_table(write(tmp_path, "user,item\n007,NA\n,nan\n"), tmp_path)
    assert table.column("user").tolist()[0] == "007"
    assert table.column("user").isna().tolist() == [False, True]
    assert table.column("item").tolist() == ["NA", "nan"]
    assert table.origin.to_dict("list") == {"file": ["log.csv"] * 2, "row": [2, 3]}


def test_a_file_without_a_header_begins_at_line_one(tmp_path) -> None:
    path = write(tmp_path, "1\t2\n", "deep/u.data")
    table = read_table(path, tmp_path, columns=["user", "item"], separator="\t")
    assert table.origin.to_dict("list") == {"file": ["deep/u.data"], "row": [1]}


def test_blank_and_short_lines_keep_their_place(tmp_path) -> None:
    table = read_table(write(tmp_path, "a,b\n1,2\n\n3\n4,5\n"), tmp_path)
    assert table.column("a").fillna("").tolist() == ["1", "", "3", "4"]
    assert table.origin["row"].tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize("text", ["a,b\n1,2\n1,2,3\n4,5\n", "a,b\n1,2,3\n1,2\n4,5\n"])
def test_a_line_with_too_many_cells_becomes_a_blank_row(tmp_path, text: str) -> None:
    table = read_table(write(tmp_path, text), tmp_path)
    assert sorted(table.column("a").fillna("")) == ["", "1", "4"]
    assert table.origin["row"].tolist() == [2, 3, 4]


def test_a_byte_order_mark_carriage_returns_and_gzip_do_not_matter(tmp_path) -> None:
    path = tmp_path / "log.csv.gz"
    path.write_bytes(gzip.compress("\ufeffuser,item\r\n1,2\r\n".encode()))
    table = read_table(path, tmp_path)
    assert table.cells.to_dict("list") == {"user": ["1"], "item": ["2"]}


def test_parquet_and_tab_separated_files_are_tables_too(tmp_path) -> None:
    pd.DataFrame({"user": [1, 2]}).to_parquet(tmp_path / "log.parquet")
    table = read_table(tmp_path / "log.parquet", tmp_path)
    assert table.column("user").tolist() == ["1", "2"]
    assert table.origin["row"].tolist() == [1, 2]
    tabs = read_table(write(tmp_path, "a\tb,c\n1\t2,3\n", "log.tsv"), tmp_path)
    assert tabs.cells.to_dict("list") == {"a": ["1"], "b,c": ["2,3"]}


@pytest.mark.parametrize(
    ("content", "name", "problem"),
    [
        (b"", "log.csv", "log.csv: the file is empty"),
        (b"a,b\n\xe9,1\n", "log.csv", "not utf-8 text"),
        (b'a,b\n1,"x\n2,3\n', "log.csv", "not a table"),
        (b"no", "log.parquet", "log.parquet: not a Parquet file"),
    ],
)
def test_a_file_that_is_no_table_is_an_error_with_its_name(
    tmp_path, content: bytes, name: str, problem: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TableUnreadable, match=problem):
        read_table(tmp_path / name, tmp_path)


def test_a_missing_column_names_file_column_nearest_and_all(tmp_path) -> None:
    table = read_table(write(tmp_path, "usr,Item\n1,2\n"), tmp_path)
    with pytest.raises(ColumnMissing) as missing:
        require(table, "log.csv", {"user": "ingest.user"})
    assert str(missing.value) == (
        "log.csv: no column `user` (ingest.user); the nearest is `usr`; it has usr, Item"
    )
    with pytest.raises(ColumnMissing, match="the nearest is `Item`"):
        require(table, "log.csv", ["item"])


def test_each_file_of_a_log_needs_the_columns(tmp_path) -> None:
    paths = [write(tmp_path, "u,x\n1,2\n", "1.csv"), write(tmp_path, "x,u\n4,3\n", "2.csv")]
    table = read_tables(paths, tmp_path, {"u": ""})
    assert table.cells.to_dict("list") == {"u": ["1", "3"]}
    paths.append(write(tmp_path, "x\n1\n", "3.csv"))
    with pytest.raises(ColumnMissing, match=r"3\.csv: no column `u`"):
        read_tables(paths, tmp_path, {"u": ""})


def test_a_long_separator_splits_and_a_line_that_does_not_fit_becomes_blank(tmp_path) -> None:
    path = tmp_path / "movies.dat"
    path.write_bytes("1::Star: Café::X\n2::bad\n".encode("latin-1"))
    table = read_split(path, tmp_path, ["item", "title", "genres"], "::")
    assert table.column("title").tolist()[0] == "Star: Café"
    assert table.column("item").isna().tolist() == [False, True]


def test_an_empty_log_names_its_files() -> None:
    with pytest.raises(EmptyLog, match="a, b, c, d and 1 more: no events"):
        raise EmptyLog(list("abcde"))
