"""Two runs as one document; two names that cannot be compared."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from decant.diff.compare import compare
from decant.diff.sides import SideError


def test_the_document_is_json_and_complete(
    project: Any, new_run: Callable[..., Any], better: Any
) -> None:
    project.commit(new_run(), "before")
    project.commit(better, "after")
    document = compare(project.root, ("HEAD~1", "HEAD"))
    assert json.loads(json.dumps(document)) == document
    assert set(document) == {
        "a", "b", "notes", "settings", "stages", "unchanged", "quality", "costs", "gate",
    }  # fmt: skip
    assert document["b"]["release"] == "bbbbbbbbbbbbbbbb"
    assert document["notes"] == []


def test_the_workspace_is_what_lies_in_the_folder(
    project: Any, new_run: Callable[..., Any], better: Any
) -> None:
    project.commit(new_run())
    project.make(better)
    document = compare(project.root, ("HEAD", "workspace"))
    assert [row["key"] for row in document["settings"]] == ["distill.segment_epochs"]
    assert document["b"]["release"] == "bbbbbbbbbbbbbbbb"


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (("HEAD", "main"), "`HEAD` and `main` are both commit"),
        (("HEAD", "HEAD"), "`HEAD` is commit"),
        (("workspace", "workspace"), "the workspace is compared with itself"),
    ],
)
def test_the_same_thing_twice_is_refused(
    project: Any, new_run: Callable[..., Any], names: tuple[str, str], problem: str
) -> None:
    project.commit(new_run())
    (project.root / "params.yaml").write_text("seed: 3\n")
    with pytest.raises(SideError, match=problem):
        compare(project.root, names)
