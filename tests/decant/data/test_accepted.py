"""A log that lost rows is noticed, although every row that is left is valid."""

from pathlib import Path

import pytest

from decant.data.accepted import FOLDER, TooMuchDroppedError, compare, remember

ROWS = {"the log `web`": 100, "the log `app`": 50}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    remember(tmp_path, "files", "key", ROWS)
    return tmp_path


@pytest.mark.parametrize("now", [{}, {"the log `app`": 40}, {"the log `web`": 1000}])
def test_as_much_as_allowed_may_be_missing(root: Path, now: dict[str, int]) -> None:
    compare(root, "files", "key", {**ROWS, **now}, limit=0.2)


@pytest.mark.parametrize(
    ("now", "lost"),
    [
        ({"the log `web`": 100, "the log `app`": 39}, {"the log `app`": (50, 39)}),
        ({"the log `web`": 100}, {"the log `app`": (50, 0)}),
        ({}, {"the log `web`": (100, 0), "the log `app`": (50, 0)}),
    ],
)
def test_a_part_that_shrank_or_is_gone_is_named_with_both_counts(
    root: Path, now: dict[str, int], lost: dict[str, tuple[int, int]]
) -> None:
    with pytest.raises(TooMuchDroppedError) as raised:
        compare(root, "files", "key", now, limit=0.2)
    assert raised.value.parts == lost
    assert str(FOLDER / "files.json") in str(raised.value)


def test_runs_of_another_source_or_layout_are_not_compared(root: Path) -> None:
    compare(root, "demo", "key", {}, limit=0.0)
    compare(root, "files", "another key", {}, limit=0.0)


@pytest.mark.parametrize("content", ["", "{}", '{"key": "key", "rows": 3}'])
def test_a_record_that_cannot_be_read_compares_nothing(root: Path, content: str) -> None:
    (root / FOLDER / "files.json").write_text(content)
    compare(root, "files", "key", {}, limit=0.0)
