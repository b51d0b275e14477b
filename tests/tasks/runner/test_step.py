"""A step's outputs appear all at once or not at all, and its errors are one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from decant.lock import BusyError, only_program
from decant.params.load import parse_params
from tasks.runner.input_guard import InputChangedError
from tasks.runner.step import Workspace, alone, explain, known_student, run_step, spread


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
    kept = explain(IsADirectoryError(21, "Is a directory", ".decant/tuning/0/worker-0.log"))
    assert kept == ".decant/tuning/0/worker-0.log cannot be used (is a directory): move it away"


@pytest.mark.parametrize("change", ["edited", "added", "removed"])
def test_a_step_whose_input_changes_meanwhile_fails_and_leaves_nothing(
    workspace: Workspace, change: str
) -> None:
    raw = workspace.root / "data" / "raw"
    raw.mkdir(parents=True)
    (raw / "views.csv").write_text("a,b\n")

    def step(space: Workspace) -> dict[str, int]:
        space.output("made")
        space.input("raw")
        if change == "removed":
            (raw / "views.csv").unlink()
        else:
            name = "views.csv" if change == "edited" else "carts.csv"
            (raw / name).write_text("a,b\nc,d\n")
        return {}

    name = "carts" if change == "added" else "views"
    with pytest.raises(InputChangedError, match=rf"^data/raw/{name}\.csv changed .* run again$"):
        run_step(step, workspace)
    assert not (workspace.root / "data/made").exists()


PROGRAM = """
from tasks.runner.step import program

def run(workspace):
    print("0.1 → 0.2")
    (workspace.output("made") / "student.txt").write_text(workspace.student)
    edited = workspace.root / "edited.yaml"
    if edited.exists():
        edited.rename(workspace.root / "params.yaml")
    return {}

program(run, for_student=True)
"""


def run_program(root: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    repository = str(Path(__file__).resolve().parents[3])
    (root / "tasks").mkdir(exist_ok=True)
    (root / "tasks" / "step.py").write_text(PROGRAM)
    command = [sys.executable, str(root / "tasks" / "step.py"), "--root", str(root), *arguments]
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


@pytest.mark.parametrize(
    ("edited", "noticed"),
    [("seed: 2\n", True), ("seed: 1\nschedule: {cron: 0 5 * * *}\n", False)],
)
def test_a_setting_of_the_step_that_changes_meanwhile_is_noticed(
    tmp_path: Path, edited: str, noticed: bool
) -> None:
    stage = {"cmd": "python -m tasks.step general", "params": ["seed", "distill.min_users"]}
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": {"step": stage}}))
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    (tmp_path / "edited.yaml").write_text(edited)
    done = run_program(tmp_path, "general")
    if noticed:
        assert done.returncode == 2
        assert done.stderr == (
            "error: `seed` in params.yaml changed while it was being read: run again\n"
        )
    else:
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "data/made").exists() is not noticed


def test_a_terminal_of_ascii_ends_no_step(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    done = run_program(tmp_path, "general", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (0, "0.1 ? 0.2\n")


@pytest.mark.parametrize("ranked", [False, True])
def test_a_training_of_several_processes_becomes_them_once(
    monkeypatch: pytest.MonkeyPatch, ranked: bool
) -> None:
    became: list[list[str]] = []

    def note(arguments: list[str]) -> int:
        became.append(arguments)
        return 7

    monkeypatch.setattr("tasks.runner.step.run_together", note)
    monkeypatch.setattr(sys, "argv", ["teacher.py", "--root", "elsewhere"])
    monkeypatch.delenv("RANK", raising=False)
    if ranked:
        monkeypatch.setenv("RANK", "0")
    params = parse_params({"teacher": {"processes": 3}})
    for name in ("distill", "features"):
        spread(name, params)
    if ranked:
        spread("teacher", params)
        assert not became
        return
    with pytest.raises(SystemExit) as ended:
        spread("teacher", params)
    together = ["--standalone", "--nproc-per-node=3"]
    assert became == [[*together, "-m", "tasks.teacher", "--root", "elsewhere"]]
    assert ended.value.code == 7


def test_of_several_processes_that_fail_alike_one_line_is_left(tmp_path: Path) -> None:
    (tmp_path / "fails.py").write_text(
        "from tasks.runner.step import program\n"
        "def run(workspace):\n"
        "    raise ValueError('no such thing')\n"
        "program(run)\n"
    )
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    script = (
        "import sys\n"
        "from tasks.runner.step import run_together\n"
        "sys.exit(run_together(['--standalone', '--nproc-per-node=2', *sys.argv[1:]]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "fails.py", "--root", tmp_path],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "error: no such thing\n")


def test_of_several_processes_the_first_holds_the_lock_of_the_step(tmp_path: Path) -> None:
    params = parse_params({})
    first, second = (Workspace(tmp_path, params, "women", "distill", rank=rank) for rank in (0, 1))
    with alone(first), alone(second), pytest.raises(BusyError, match="distill@women"):
        only_program(tmp_path, "distill@women", patience=0).__enter__()


def test_of_several_processes_only_the_first_leaves_outputs(tmp_path: Path) -> None:
    for rank in (1, 0):
        workspace = Workspace(tmp_path, parse_params({}), rank=rank)
        (workspace.output("models/teacher") / "weights").write_text(str(rank))
        workspace.commit({"rank": rank})
        there = (tmp_path / "data/models/teacher/weights").exists()
        assert there is (rank == 0)
    assert (tmp_path / "data/models/teacher/weights").read_text() == "0"
    assert [p.name for p in (tmp_path / "data/models").iterdir()] == ["teacher"]


def test_the_state_of_a_step_is_kept_until_its_outputs_have_their_names(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, parse_params({}), program="teacher")
    state = workspace.scratch("teacher")
    state.mkdir(parents=True)
    workspace.output("models/teacher")
    workspace.discard()
    assert state.is_dir()
    workspace.output("models/teacher")
    workspace.commit({})
    assert not state.exists()
    assert workspace.code() == ""
