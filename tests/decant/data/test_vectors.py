from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from decant.data.sources.delimited import MissingColumnError
from decant.data.sources.files import UnreadableTableError
from decant.data.sources.layout import MissingFilesError
from decant.data.sources.readers import read
from decant.data.vectors import VECTOR, align, read_vectors
from decant.params.data import Ingest

ITEMS = ["a", "b", "c"]
NUMBERS = [[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]]


def rows_of(path: Path, key: str = "item") -> tuple[dict[str, list[float]], dict[str, str]]:
    """The vectors of a file by item; why the others are left out, by row."""
    kept, lost = read_vectors(path, path.parent, "image", key)
    vectors = {item: list(vector) for item, vector in zip(kept["item"], kept[VECTOR], strict=True)}
    assert set(lost["table"]) <= {"image"}
    return vectors, dict(zip(lost["row"], lost["column"], strict=True))


def parquet(folder: Path, items: list[object], vectors: list[object]) -> Path:
    path = folder / "image.parquet"
    pd.DataFrame({"item": items, "vector": vectors}).to_parquet(path)
    return path


def test_a_list_column_and_numeric_columns_and_csv_say_the_same(tmp_path: Path) -> None:
    expected = dict(zip(ITEMS, NUMBERS, strict=True))
    assert rows_of(parquet(tmp_path, [*ITEMS], [*NUMBERS])) == (expected, {})
    wide = pd.DataFrame(NUMBERS, columns=["v0", "v1"]).assign(item=ITEMS)
    wide.to_parquet(tmp_path / "wide.parquet")
    wide.to_csv(tmp_path / "wide.csv", index=False)
    assert rows_of(tmp_path / "wide.parquet") == (expected, {})
    assert rows_of(tmp_path / "wide.csv") == (expected, {})


def test_one_column_of_numbers_is_a_vector_of_one(tmp_path: Path) -> None:
    assert rows_of(parquet(tmp_path, ["a", "b"], [1, 2]))[0] == {"a": [1.0], "b": [2.0]}


def test_every_row_that_cannot_be_used_is_left_out_with_its_reason(tmp_path: Path) -> None:
    rows: list[tuple[object, object]] = [
        ("a", [1.0, 2.0]),
        ("b", [1.0, float("nan")]),
        ("c", [float("inf"), 0.0]),
        ("d", [1.0, 2.0, 3.0]),
        (None, [1.0, 2.0]),
        ("e", None),
        ("a", [3.0, 4.0]),
        ("f", []),
        ("g", [3.0, 4.0]),
    ]
    vectors, reasons = rows_of(parquet(tmp_path, [r[0] for r in rows], [r[1] for r in rows]))
    assert vectors == {"a": [1.0, 2.0], "g": [3.0, 4.0]}
    assert reasons == {
        2: "not finite numbers",
        3: "not finite numbers",
        4: "another length than most",
        5: "no item",
        6: "no vector",
        7: "a second vector of its item",
        8: "no vector",
    }
    assert len(vectors) + len(reasons) == len(rows)


def test_ids_that_are_numbers_are_the_ids_of_the_events(tmp_path: Path) -> None:
    assert set(rows_of(parquet(tmp_path, [17.0, 18.0], [[1.0], [2.0]]))[0]) == {"17", "18"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("item\na\n", "has no numeric column: expected one column of lists, or only numeric"),
        ("item,v0,name\na,1,hat\nb,2,pan\n", "the column `name` is not numeric"),
        ("item,v0\n", "has no valid vector: it has no rows"),
        ("item,v0\n,1\n", "has no valid vector: no item"),
    ],
)
def test_a_table_of_something_else_is_told_in_a_line(
    tmp_path: Path, text: str, problem: str
) -> None:
    (tmp_path / "image.csv").write_text(text)
    with pytest.raises(UnreadableTableError, match=problem):
        rows_of(tmp_path / "image.csv")


def test_a_table_without_the_column_of_items_is_told(tmp_path: Path) -> None:
    (tmp_path / "image.csv").write_text("product,v0\na,1\n")
    with pytest.raises(MissingColumnError, match=r"no column `item` \(ingest\.vectors\.image: "):
        rows_of(tmp_path / "image.csv")


def test_vectors_are_standardised_over_the_items_that_have_one(tmp_path: Path) -> None:
    kept, _ = read_vectors(parquet(tmp_path, [*ITEMS], [*NUMBERS]), tmp_path, "image", "item")
    vectors, there = align(kept, ["b", "x", "a", "c"])
    assert there.tolist() == [True, False, True, True]
    assert not vectors[1].any()
    plain = np.array(NUMBERS)[[1, 0, 2]]
    scaled = (plain - plain.mean(axis=0)) / plain.std(axis=0)
    expected = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors[there], expected, rtol=1e-6)


def test_no_known_item_and_equal_numbers_give_zeros(tmp_path: Path) -> None:
    kept, _ = read_vectors(parquet(tmp_path, [*ITEMS], [[1.0]] * 3), tmp_path, "image", "item")
    for items in (["x", "y"], ITEMS):
        assert not align(kept, items)[0].any()


def test_own_files_bring_vectors_of_any_name(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user,sku\nu,a\nu,b\n")
    pd.DataFrame({"sku": ["a", "c"], "v": [[1.0, 2.0], [2.0, 1.0]]}).to_parquet(tmp_path / "s.pq")
    settings = Ingest(item="sku", vectors={"sound": "s.pq"})
    tables = read("files", tmp_path, settings)
    assert tables.vectors["sound"]["item"].tolist() == ["a", "c"]
    assert tables.used == ("events.csv", "s.pq")
    with pytest.raises(
        MissingFilesError, match=r"no file `t\.pq` \(ingest\.vectors\.sound\); did you mean"
    ):
        read("files", tmp_path, Ingest(item="sku", vectors={"sound": "t.pq"}))
