"""The documents of a release are read within bounds, and whatever is in them is a line at most."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from decant.files import read_json
from decant.release import agreement
from decant.release.agreement import disagreements, passes
from decant.release.manifest import described


@pytest.fixture
def folder(make_candidate: Callable[..., Path]) -> Path:
    """A candidate."""
    return make_candidate()


def manifest(folder: Path) -> dict[str, Any]:
    candidate = read_json(folder / "candidate.json")
    names = [*candidate["files"], "candidate.json"]
    return {
        **{name: candidate[name] for name in ("id", "source", "folded", "passed")},
        "students": sorted(candidate["students"]),
        "reasons": [],
        "files": {name: described(folder / name).model_dump() for name in names},
    }


def problems(folder: Path, **changes: Any) -> list[str]:
    return disagreements({**manifest(folder), **changes}, lambda path: (folder / path).read_bytes())


def test_what_was_assembled_agrees(folder: Path) -> None:
    assert problems(folder) == []


@pytest.mark.parametrize("name", ["candidate.json", "router.json", "encoder.json", "verdict.json"])
def test_a_document_that_is_missing_is_named(folder: Path, name: str) -> None:
    files = {path: file for path, file in manifest(folder)["files"].items() if path != name}
    assert problems(folder, files=files) == [f"{name} is missing"]


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"files": []}', b"[" * 100_000, b"\xff"])
@pytest.mark.parametrize(
    "name", ["candidate.json", "router.json", "verdict.json", "students/women/manifest.json"]
)
def test_a_document_that_is_none_is_a_line(folder: Path, name: str, content: bytes) -> None:
    whole = manifest(folder)
    (folder / name).write_bytes(content)
    problems = disagreements(whole, lambda path: (folder / path).read_bytes())
    assert problems and all("\n" not in problem for problem in problems)


def test_a_document_is_of_bounded_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "LARGEST", 10)
    [problem] = problems(folder)
    assert "candidate.json has" in problem and "bytes, more than 10" in problem


@pytest.mark.parametrize(
    ("verdict", "comparison", "expected"),
    [
        ({"passed": True}, None, True),
        ({"passed": True}, {"passed": True}, True),
        ({"passed": True}, {"passed": False}, False),
        ({"passed": True}, {}, False),
        ({"passed": 1}, None, False),
        ({}, None, False),
    ],
)
def test_only_a_true_is_a_yes(verdict: Any, comparison: Any, expected: bool) -> None:
    assert passes(verdict, comparison) is expected
