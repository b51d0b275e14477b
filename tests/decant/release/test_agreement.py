"""The documents of a release are read within bounds, and whatever is in them is a line at most."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from decant.files import digest_tree, read_json, write_json
from decant.release import agreement
from decant.release.agreement import disagreements, passes
from decant.release.identity import candidate_id
from decant.release.manifest import described
from decant.release.seal import sealed


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


def forge(folder: Path, name: str, edit: Callable[[Any], object]) -> None:
    """Edit a document of a candidate, and make hashes, id and seal of candidate.json anew."""
    if name != "candidate.json":
        document = read_json(folder / name)
        edit(document)
        write_json(folder / name, document)
    candidate = read_json(folder / "candidate.json")
    if name == "candidate.json":
        edit(candidate)
    files = {path: sha for path, sha in digest_tree(folder).items() if path != "candidate.json"}
    candidate = {k: v for k, v in candidate.items() if k not in ("format", "checksum")}
    candidate["files"] = files
    candidate["id"] = candidate_id(candidate)
    write_json(folder / "candidate.json", sealed(candidate))


@pytest.mark.parametrize(
    ("name", "edit", "problem"),
    [
        ("candidate.json", lambda c: c.update(data="0" * 64),
         "candidate.json lists raw data with another checksum"),
        ("candidate.json", lambda c: c["students"]["women"].update(where="age > 3"),
         "candidate.json and router.json have different rules of women"),
        ("router.json", lambda r: r["students"]["women"].update(priority=9),
         "candidate.json and router.json have different rules of women"),
        ("students/women/manifest.json", lambda m: m["files"].update({"model.onnx": "0" * 64}),
         "students/women/manifest.json does not match the files of women"),
        ("students/women/manifest.json", lambda m: m["files"].pop("config.json"),
         "students/women/manifest.json does not match the files of women"),
        ("verdict.json", lambda v: v["segments"]["women"].update(ships=False),
         "verdict.json does not accept the student women"),
        ("verdict.json", lambda v: v["segments"]["women"].update(ships="yes"),
         "verdict.json does not accept the student women"),
        ("candidate.json", lambda c: c.update(folded=["men"]),
         "candidate.json and router.json differ in the segments merged into general"),
        ("router.json", lambda r: r.update(folded=["tiny"]),
         "router.json names the student men, which the release lacks"),
    ],
)  # fmt: skip
def test_documents_that_are_forged_together_contradict_each_other(
    folder: Path, name: str, edit: Callable[[Any], object], problem: str
) -> None:
    forge(folder, name, edit)
    assert problem in problems(folder)


@pytest.mark.parametrize("path", ["encoder.json", "students/women/model.onnx"])
def test_a_file_that_is_not_the_one_that_was_assembled_is_named(folder: Path, path: str) -> None:
    files = manifest(folder)["files"]
    files[path] = {**files[path], "sha256": "0" * 64}
    assert f"{path} is not the file that was assembled" in problems(folder, files=files)


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
