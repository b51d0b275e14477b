"""A step's outputs appear all at once or not at all, and its errors are one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from decant.params import parse_params
from tasks.program import Workspace, explain, known_student, run_step


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, parse_params({}))


def test_outputs_get_their_names_when_the_step_has_succeeded(workspace: Workspace) -> None:
    def step(space: Workspace) -> dict[str, int]:
        (space.output("made") / "a.txt").write_text("a")
        (space.output("also") / "b.txt").write_text("b")
        assert not (space.root / "data/made").exists()
        return {"rows": 2}

    run_step(step, workspace, lambda summary: f"{summary['rows']} rows")
    made = workspace.root / "data/made"
    assert json.loads((made / "summary.json").read_text()) == {"rows": 2}
    assert (made / "summary.md").read_text() == "2 rows\n"
    assert (workspace.root / "data/also/b.txt").read_text() == "b"
    assert not list((workspace.root / "data").glob(".*"))


def test_a_failed_step_leaves_what_was_there(workspace: Workspace) -> None:
    old = workspace.root / "data/made"
    old.mkdir(parents=True)
    (old / "a.txt").write_text("old")

    def step(space: Workspace) -> dict[str, int]:
        (space.output("made") / "a.txt").write_text("new")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run_step(step, workspace)
    assert (old / "a.txt").read_text() == "old"
    assert not list((workspace.root / "data").glob(".*"))


def test_a_step_that_keeps_what_is_there_writes_nothing(workspace: Workspace) -> None:
    assert run_step(lambda _: {"files": 1}, workspace) == {"files": 1}
    assert not (workspace.root / "data").exists()


def test_a_missing_input_says_what_to_do(workspace: Workspace) -> None:
    with pytest.raises(FileNotFoundError, match="data/features is missing"):
        workspace.input("features")


def test_an_unknown_student_is_named_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match="no student `men`.*general"):
        known_student("men", parse_params({}))


def test_errors_are_explained_in_one_line() -> None:
    assert explain(ValueError("two\n  lines")) == "two lines"
    assert explain(OSError(28, "No space left on device", "data/x")) == (
        "data/x: No space left on device"
    )


PROGRAM = """
from tasks.program import program

def run(workspace):
    print("0.1 → 0.2")
    (workspace.output("made") / "student.txt").write_text(workspace.student)
    return {}

program(run, for_student=True)
"""


def run_program(root: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    repository = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-c", PROGRAM, "--root", str(root), *arguments]
    environment = {"PYTHONPATH": repository, **settings}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_command_line_takes_a_student_and_reports_mistakes(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    assert run_program(tmp_path, "general").returncode == 0
    assert (tmp_path / "data/made/student.txt").read_text() == "general"
    wrong = run_program(tmp_path, "nobody")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: no student `nobody`")
    assert wrong.stderr.count("\n") == 1
    (tmp_path / "params.yaml").write_text("sed: 1\n")
    assert "did you mean `seed`" in run_program(tmp_path, "general").stderr


def test_a_terminal_of_ascii_ends_no_step(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    done = run_program(tmp_path, "general", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (0, "0.1 ? 0.2\n")
