"""The right value of every kind of input that once went wrong: tests/inputs, a folder each."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from decant.data.sources.readers import read
from decant.data.tables import Tables
from decant.params.data import Ingest

CASES = sorted(path.parent for path in (Path(__file__).parents[2] / "inputs").glob("*/case.yaml"))


def seconds(moment: Any) -> float | None:
    """A moment of case.yaml, in UTC."""
    return None if moment is None else pd.Timestamp(moment, tz="UTC").timestamp()


def plain(frame: pd.DataFrame) -> list[list[Any]]:
    return [
        [None if pd.isna(cell) else cell for cell in row] for row in frame.to_numpy(dtype=object)
    ]


def without_origin(frame: pd.DataFrame) -> list[dict[str, Any]]:
    kept = frame.drop(columns=["file", "row", "malformed"])
    return [dict(zip(kept, row, strict=True)) for row in plain(kept)]


def compare(case: dict[str, Any], result: Tables) -> None:
    """All that a case says of the tables."""
    expected = [[user, item, seconds(moment)] for user, item, moment in case["events"]]
    times = result.events["time"].round(6)
    assert plain(result.events[["user", "item"]].assign(time=times)) == expected
    for name in ("users", "items"):
        if name in case:
            assert without_origin(getattr(result, name)) == case[name]
    for column, kind in case.get("users_types", {}).items():
        assert str(result.users[column].dtype) == kind
    assert plain(result.unparsed[["file", "row", "value"]])[: len(case.get("unparsed", []))] == (
        case.get("unparsed", [])
    )
    if "malformed" in case:
        message = plain(result.events[["malformed"]])
        for (line,), start in zip(message, case["malformed"], strict=True):
            assert (line is None) if start is None else line.startswith(start)
    for note in case.get("notes", []):
        assert any(line.startswith(note) for line in result.notes), result.notes


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_an_input_of_this_kind_is_read_right_or_refused_in_one_line(
    folder: Path, tmp_path: Path
) -> None:
    case = yaml.safe_load((folder / "case.yaml").read_text(encoding="utf-8"))
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for name, columns in case.get("parquet", {}).items():
        pd.DataFrame(columns).to_parquet(tmp_path / name)
    settings = Ingest.model_validate(case["settings"])
    if "error" in case:
        with pytest.raises(ValueError) as caught:
            read("files", tmp_path, settings)
        assert str(caught.value).startswith(case["error"])
        assert "\n" not in str(caught.value)
    else:
        compare(case, read("files", tmp_path, settings))


def test_there_are_cases() -> None:
    assert len(CASES) >= 15
