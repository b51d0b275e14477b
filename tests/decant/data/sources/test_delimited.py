import gzip
import uuid
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from decant.data.sources.csv_lines import AMBIGUOUS, STRAY
from decant.data.sources.delimited import (
    EmptyLogError,
    MissingColumnError,
    Table,
    UnreadableTableError,
    count_lines,
    read_split,
    read_table,
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
    assert table.origin[["file", "row"]].to_dict("list") == {"file": ["log.csv"] * 2, "row": [2, 3]}
    assert table.origin["malformed"].isna().all()


def test_a_file_without_a_header_begins_at_line_one(tmp_path) -> None:
    path = write(tmp_path, "1\t2\n", "deep/u.data")
    table = read_table(path, tmp_path, columns=["user", "item"], separator="\t")
    assert table.origin[["file", "row"]].to_dict("list") == {"file": ["deep/u.data"], "row": [1]}


def test_blank_and_short_lines_keep_their_place(tmp_path) -> None:
    table = read_table(write(tmp_path, "a,b\n1,2\n\n3\n4,5\n"), tmp_path)
    assert table.column("a").fillna("").tolist() == ["1", "", "3", "4"]
    assert table.origin["row"].tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize("text", ["a,b\n1,2\n1,2,3\n4,5\n", "a,b\n1,2,3\n1,2\n4,5\n"])
def test_a_line_with_too_many_cells_becomes_a_blank_row(tmp_path, text: str) -> None:
    table = read_table(write(tmp_path, text), tmp_path)
    assert sorted(table.column("a").fillna("")) == ["", "1", "4"]
    assert table.origin["row"].tolist() == [2, 3, 4]
    assert table.origin["malformed"].dropna().tolist() == ["3 fields in a line instead of 2"]


def test_a_comma_behind_every_line_is_one_field_too_many(tmp_path) -> None:
    table = read_table(write(tmp_path, "a,b\n1,2,\n3,4,\n"), tmp_path)
    assert table.origin["malformed"].tolist() == ["3 fields in a line instead of 2"] * 2


LOG = "user,item,time\n" + "".join(f"u{n},i{n},{n}\n" for n in range(2, 9))


@pytest.mark.parametrize(
    ("wrong", "reasons"),
    [
        ({4: 'u4,"i4,4'}, {4: STRAY}),  # runs to the end
        ({4: 'u4,"i4,4', 6: 'u6,"i,6",6'}, {4: STRAY}),  # ends where a good one begins
        ({8: 'u8,i8,"8'}, {8: STRAY}),
        ({4: 'u4,"i4,4', 6: 'u6,i6",6'}, dict.fromkeys((4, 5, 6), AMBIGUOUS)),
    ],
)
def test_a_stray_quotation_mark_swallows_no_line_uncounted(
    tmp_path, wrong: dict[int, str], reasons: dict[int, str]
) -> None:
    lines = LOG.splitlines()
    for row, text in wrong.items():
        lines[row - 1] = text
    table = read_table(write(tmp_path, "\n".join(lines)), tmp_path)
    assert table.origin["row"].tolist() == [2, 3, 4, 5, 6, 7, 8]
    malformed = table.origin.set_index("row")["malformed"].dropna()
    assert malformed.to_dict() == reasons
    assert table.column("user").isna().sum() == len(reasons)


def test_rows_behind_a_quoted_line_break_know_their_line(tmp_path) -> None:
    text = (
        'item,title,price\n1,"hat\nred, ""new""",3\n\n2,"a ""b"" c",4\r\n3,"x\r\ny\r\n",5\n4,z,6\n'
    )
    table = read_table(write(tmp_path, text), tmp_path)
    assert table.column("item").fillna("").tolist() == ["1", "", "2", "3", "4"]
    assert table.origin["row"].tolist() == [2, 4, 5, 6, 9]
    assert table.column("title").tolist()[0] == 'hat\nred, "new"'
    assert table.origin["malformed"].isna().all()


def test_both_ways_of_reading_give_the_same_cells(tmp_path) -> None:
    odd = 'a,b,c\n1,"x, y","z"\n2,5" pipe,NA\n3,"q"r,""\n\n4\n'
    fast = read_table(write(tmp_path, odd), tmp_path)
    slow = read_table(write(tmp_path, odd + '5,"n\nn",6\n'), tmp_path)
    for name in fast.cells:
        assert fast.column(name).fillna("").tolist() == slow.column(name).fillna("").tolist()[:-1]
    assert fast.origin["row"].tolist() == slow.origin["row"].tolist()[:-1]


@pytest.mark.parametrize(
    ("content", "lines"),
    [(b"a", 1), (b"a\n", 1), (b"a\r\nb\r\n", 2), (b"a\rb", 2), (b"a\n\nb\n\n", 4)],
)
def test_lines_are_counted_however_they_end(content: bytes, lines: int) -> None:
    assert count_lines(content) == lines


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


def test_large_whole_numbers_of_parquet_stay_exact_where_some_are_missing(tmp_path) -> None:
    large = 2**53
    frame = pd.DataFrame(
        {
            "user": pd.array([large, large + 1, None], dtype="Int64"),
            "item": pd.array([2**64 - 1, None, 1], dtype="UInt64"),
            "price": [1e300, 1.5, None],
        }
    )
    frame.to_parquet(tmp_path / "log.parquet")
    table = read_table(tmp_path / "log.parquet", tmp_path)
    assert table.column("user").fillna("").tolist() == [str(large), str(large + 1), ""]
    assert table.column("item").fillna("").tolist() == [str(2**64 - 1), "", "1"]
    assert table.column("price").fillna("").tolist() == ["1e+300", "1.5", ""]


def test_a_parquet_file_may_have_kept_a_column_as_its_index(tmp_path) -> None:
    pd.DataFrame({"user": ["a"], "item": ["b"]}).set_index("user").to_parquet(tmp_path / "a.pq")
    table = read_table(tmp_path / "a.pq", tmp_path)
    assert table.column("user").tolist() == ["a"]


def test_two_columns_of_one_name_in_parquet_are_an_error(tmp_path) -> None:
    pq.write_table(pa.table([[1], [2]], names=["user", "user"]), tmp_path / "log.parquet")
    with pytest.raises(UnreadableTableError, match=r"log\.parquet: 2 columns are called `user`"):
        read_table(tmp_path / "log.parquet", tmp_path)


@pytest.mark.parametrize(
    ("content", "name", "problem"),
    [
        (b"", "log.csv", "log.csv: the file is empty"),
        (b"a,b\n\xe9,1\n", "log.csv", "not utf-8 text"),
        (b"a,b\n1,2\n\xe9,1\n", "log.csv", "not utf-8 text in line 3"),
        (b"\n1,2\n", "log.csv", "no header in line 1"),
        (b'a,"b\n1,2\n', "log.csv", "line 1 is not a header: a stray quotation mark"),
        (b"\0a,b\n1,2\n", "log.csv", "line 1 is not a header"),
        (b"a,b,b\n1,2,3\n", "log.csv", "log.csv: 2 columns are called `b`: rename them"),
        (b"a,b,b\n1,2,3,4\n", "log.csv", "log.csv: 2 columns are called `b`: rename them"),
        (b"no", "log.parquet", "log.parquet: not a Parquet file"),
    ],
)
def test_a_file_that_is_no_table_is_an_error_with_its_name(
    tmp_path, content: bytes, name: str, problem: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableTableError, match=problem):
        read_table(tmp_path / name, tmp_path)


def test_a_missing_column_names_file_column_nearest_and_all(tmp_path) -> None:
    table = read_table(write(tmp_path, "usr,Item\n1,2\n"), tmp_path)
    with pytest.raises(MissingColumnError) as missing:
        require(table, "log.csv", {"user": "ingest.user"})
    assert str(missing.value) == (
        "log.csv: no column `user` (ingest.user); did you mean `usr`? columns: usr, Item"
    )
    with pytest.raises(MissingColumnError, match="did you mean `Item`"):
        require(table, "log.csv", ["item"])


@pytest.mark.parametrize(
    ("mark", "name", "words"),
    [("\t", "log.dat", "tabs"), (";", "log.csv", "semicolons"), ("|", "log.txt", "pipes"),
     (" ", "log.txt", "spaces"), (",", "log.tsv", "commas"), (";", "log.tsv", "semicolons")],
)  # fmt: skip
def test_the_mark_between_fields_is_found_whatever_the_file_is_called(
    tmp_path, mark: str, name: str, words: str
) -> None:
    lines = [["user", "item", "note"], ["a", "1", "x;y|z"], ["b", "2", ""]]
    text = "".join(mark.join(f'"{c}"' if mark in c else c for c in line) + "\n" for line in lines)
    table = read_table(write(tmp_path, text, name), tmp_path, needed=("user", "item"))
    assert table.cells.fillna("").to_numpy().tolist() == lines[1:]
    assert table.note == f"{name}: fields are separated by {words}"


def test_the_usual_mark_is_not_worth_a_note(tmp_path) -> None:
    for name, mark in (("log.csv", ","), ("log.tsv", "\t")):
        path = write(tmp_path, f"user{mark}item\na{mark}1;2\n", name)
        table = read_table(path, tmp_path, needed=("user",))
        assert (table.note, list(table.cells)) == (None, ["user", "item"])


def test_without_the_needed_columns_the_mark_that_gives_most_is_taken(tmp_path) -> None:
    table = read_table(write(tmp_path, "a;b;c,d\n1;2;3\n"), tmp_path, needed=("user",))
    assert list(table.cells) == ["a", "b", "c,d"]
    assert list(read_table(write(tmp_path, "user\na b\n"), tmp_path).cells) == ["user"]


def test_a_mark_that_is_given_is_the_only_one(tmp_path) -> None:
    path = write(tmp_path, "user,item\n1,2\n")
    assert list(read_table(path, tmp_path, separator=";").cells) == ["user,item"]


def test_bytes_of_a_fixed_number_are_written_as_people_do(tmp_path) -> None:
    unique = uuid.UUID(int=5)
    columns = {
        "user": pa.array([unique.bytes, None], pa.binary(16)),
        "key": pa.array([b"\x01\xff"] * 2, pa.binary(2)),
    }
    pq.write_table(pa.table(columns), tmp_path / "log.parquet")
    table = read_table(tmp_path / "log.parquet", tmp_path)
    assert table.ids("user").fillna("").tolist() == [str(unique), ""]
    assert table.ids("key").tolist() == ["01ff", "01ff"]


def test_names_of_columns_are_clean(tmp_path) -> None:
    table = read_table(write(tmp_path, " user ,caf\u0065\u0301\u200b\n1,2\n"), tmp_path)
    assert list(table.cells) == ["user", "caf\u00e9"]
    pd.DataFrame({" user": ["1"]}).to_parquet(tmp_path / "log.parquet")
    assert list(read_table(tmp_path / "log.parquet", tmp_path).cells) == ["user"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_utf_16_that_says_so_is_read(tmp_path, encoding: str) -> None:
    mark = "\ufeff" if encoding != "utf-16" else ""
    (tmp_path / "log.csv").write_bytes(f"{mark}user\titem\nCaf\u00e9\t1\n".encode(encoding))
    table = read_table(tmp_path / "log.csv", tmp_path, needed=("user", "item"))
    assert table.cells.to_dict("list") == {"user": ["Caf\u00e9"], "item": ["1"]}


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (pa.array([[1, 2], [3]]), "lists, objects, bytes or booleans"),
        (pa.array([{"a": 1}, None]), "lists, objects, bytes or booleans"),
        (pa.array([b"\xff\xfe", b"ok"]), "lists, objects, bytes or booleans"),
        (pa.array([True, None]), "booleans"),
        (pa.array([True, False]), "booleans"),
        (pa.array([2.0**24, 1.0], pa.float32()), r"beyond 2\^24"),
        (pa.array([2.0**53, 1.0]), r"beyond 2\^53"),
    ],
)
def test_a_column_that_cannot_be_ids_is_an_error(tmp_path, values: pa.Array, problem: str) -> None:
    pq.write_table(pa.table({"user": values}), tmp_path / "log.parquet")
    with pytest.raises(UnreadableTableError, match=rf"log\.parquet: `user` .*{problem}.*rows: "):
        read_table(tmp_path / "log.parquet", tmp_path).ids("user")


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["12", None]),
        pa.array([b"12", None]),
        pa.array([12.0, None]),
        pa.array([12.0, None], pa.float32()),
        pa.array([12, None], pa.int8()),
        pa.array([12, None]).cast(pa.decimal128(21, 2)),
        pa.array(["12.0", None]).dictionary_encode(),
    ],
)
def test_an_id_is_the_same_in_a_column_of_any_type(tmp_path, values: pa.Array) -> None:
    pq.write_table(pa.table({"user": values}), tmp_path / "log.parquet")
    table: Table = read_table(tmp_path / "log.parquet", tmp_path)
    assert table.ids("user").fillna("").tolist() == ["12", ""]


def test_a_long_separator_splits_and_a_line_that_does_not_fit_becomes_blank(tmp_path) -> None:
    path = tmp_path / "movies.dat"
    path.write_bytes("1::Star: Café::X\n2::bad\n".encode("latin-1"))
    table = read_split(path, tmp_path, ["item", "title", "genres"], "::")
    assert table.column("title").tolist()[0] == "Star: Café"
    assert table.column("item").isna().tolist() == [False, True]
    assert table.origin["malformed"].dropna().tolist() == ["2 fields in a line instead of 3"]


def test_an_empty_log_names_its_files() -> None:
    with pytest.raises(EmptyLogError, match="a, b, c, d and 1 more: no events"):
        raise EmptyLogError(list("abcde"))
