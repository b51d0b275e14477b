"""The candidate's step: data/ in, data/candidate out, all of it or nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from decant.params.load import load_params
from decant.release.candidate import CandidateError, check_candidate
from tasks.candidate import describe, run
from tasks.runner.step import Workspace, run_step

MakeWorkspace = Callable[..., Path]


def step(root: Path) -> dict[str, object]:
    return run_step(run, Workspace(root, load_params(root / "params.yaml")))


def test_the_family_that_ships_is_assembled(make_workspace: MakeWorkspace) -> None:
    root = make_workspace()
    summary = step(root)
    candidate = check_candidate(root / "data" / "candidate")
    assert summary["id"] == candidate["id"]
    assert summary["students"] == ["general", "women"]
    assert summary["folded"] == ["men"]
    assert candidate["raw"].keys() == {"views.csv"}
    assert json.loads((root / "data/candidate/summary.json").read_text()) == summary


def test_a_second_run_gives_the_same_bytes(make_workspace: MakeWorkspace) -> None:
    root = make_workspace()
    step(root)
    folder = root / "data" / "candidate"
    first = {path: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
    step(root)
    assert {path: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()} == first


def test_a_failing_gate_still_makes_a_candidate(make_workspace: MakeWorkspace) -> None:
    summary = step(make_workspace(passed=False))
    assert summary["passed"] is False
    assert "failed the gate" in describe(summary)


def test_an_error_leaves_the_candidate_of_before(make_workspace: MakeWorkspace) -> None:
    root = make_workspace()
    step(root)
    (root / "data/compressed/women/int8/model.onnx").write_text("changed")
    with pytest.raises(CandidateError, match=r"women/int8/model\.onnx"):
        step(root)
    check_candidate(root / "data" / "candidate")


def test_a_missing_input_is_named(make_workspace: MakeWorkspace) -> None:
    root = make_workspace()
    (root / "data/gate/verdict.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"data/gate/verdict\.json is missing"):
        step(root)
    assert not (root / "data" / "candidate").exists()


def test_a_person_is_told_what_ships(make_workspace: MakeWorkspace) -> None:
    text = describe(step(make_workspace()))
    assert "students: general, women" in text
    assert "served by general: men" in text
