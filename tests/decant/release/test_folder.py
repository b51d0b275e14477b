"""What lies in a release's folder is what its manifest says, or a line says what is not."""

import os
from pathlib import Path
from typing import Any

import pytest

from decant.files import ContentError, digest
from decant.release.folder import ReleaseFolder, read_bounded, stray_problem

CONTENTS = {"router.json": b"{}", "students/women/model.onnx": b"model"}


@pytest.fixture
def place(tmp_path: Path) -> ReleaseFolder:
    """A release as it is stored: the router under another name, beside what was left there."""
    files: dict[str, dict[str, Any]] = {
        path: {"sha256": digest(content), "bytes": len(content), "stored": None}
        for path, content in CONTENTS.items()
    }
    aside = "router.json.0123456789abcdef"
    files["router.json"]["stored"] = aside
    (tmp_path / "students" / "women").mkdir(parents=True)
    (tmp_path / aside).write_bytes(CONTENTS["router.json"])
    (tmp_path / "router.json").write_bytes(b"left by a killed publication")
    (tmp_path / "students/women/model.onnx").write_bytes(CONTENTS["students/women/model.onnx"])
    (tmp_path / "manifest.json").write_bytes(b"{}")
    return ReleaseFolder(tmp_path, files)


def test_what_is_named_is_read_from_where_it_is_stored(place: ReleaseFolder) -> None:
    assert place.problems() == []
    assert {path: place.read(path) for path in CONTENTS} == CONTENTS


def test_a_copy_holds_nothing_beside(place: ReleaseFolder) -> None:
    copy = ReleaseFolder(place.folder, place.files, copied=True)
    aside = "router.json.0123456789abcdef"
    assert copy.problems() == [f"{aside} is not listed in its manifest; remove it"]
    os.replace(place.folder / aside, place.folder / "router.json")
    assert copy.problems() == []


def test_every_problem_is_a_line(place: ReleaseFolder) -> None:
    (place.folder / "students/women/model.onnx").write_bytes(b"Model")
    (place.folder / "router.json.0123456789abcdef").write_bytes(b"{}\n")
    assert place.problems() == [
        "router.json was changed: it has 3 bytes, its manifest says 2",
        "students/women/model.onnx was changed",
    ]


def test_strange_names_are_shown_as_ascii(place: ReleaseFolder) -> None:
    (place.folder / "a\nb\u202e").write_bytes(b"")
    assert place.problems() == [r"'a\nb\u202e' is not listed in its manifest; remove it"]


def test_what_is_not_named_is_not_read(place: ReleaseFolder) -> None:
    (place.folder / "more").write_bytes(b"more")
    with pytest.raises(ContentError, match="more is missing"):
        place.read("more")


def test_a_pipe_is_not_waited_for(place: ReleaseFolder) -> None:
    model = place.folder / "students/women/model.onnx"
    model.unlink()
    os.mkfifo(model)
    with pytest.raises(ContentError, match=r"model\.onnx is neither a file nor a folder"):
        place.read("students/women/model.onnx")
    assert read_bounded(place.folder / "manifest.json", 2) == b"{}"
    with pytest.raises(ContentError, match="larger than 1 bytes"):
        read_bounded(place.folder / "manifest.json", 1)


@pytest.mark.parametrize(
    ("name", "result"),
    [
        *((name, False) for name in ("manifest.json", "router.json", "dvc.lock", "students/")),
        *((name, False) for name in ("students/women/", "dvc.lock.0123456789abcdef")),
        *((name, True) for name in ("more", "students/men/", "students/men/model.onnx", ".x")),
    ],
)
def test_a_key_that_nobody_names_is_a_stray(place: ReleaseFolder, name: str, result: bool) -> None:
    assert (stray_problem(name, place.files) is not None) == result
