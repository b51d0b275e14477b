"""A clone runs the project's commands, and knows what they have started."""

import subprocess
import time
from pathlib import Path

import pytest

from benchmarks.harness.checkout import (
    MARKER,
    Clone,
    CloneError,
    Ended,
    clone,
    commit_of,
    renewed,
    silent_on_test,
    stage_of,
)

LASTING = "import time; print('started', flush=True); time.sleep(60)"


@pytest.fixture
def workspace(tmp_path: Path) -> Clone:
    root = tmp_path / "project"
    root.mkdir()
    return Clone(root, {"COLOUR": "green"})


def test_a_command_runs_in_the_clone_with_its_environment_and_not_the_callers(
    workspace: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://nowhere")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    code = "import os; e = os.environ; print(os.getcwd(), e['COLOUR'], sorted({'PREFECT_API_URL', "
    ended = workspace.run("-c", code + "'PYTHONPATH'} & set(e))); raise SystemExit(3)")
    assert ended.status == 3
    assert ended.output == f"{workspace.root} green []\n"


def test_what_a_command_started_is_found_until_it_ends(workspace: Clone) -> None:
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {LASTING!r}]).wait()"
    running = workspace.start("-c", code)
    # the child; one that has only just been started may have no words of its own yet
    while not any(LASTING in words for words in workspace.processes().values()):
        assert not running.over()
        time.sleep(0.02)
    running.kill()
    running.end()
    left = workspace.processes()
    assert len(left) == 1
    for pid in left:
        subprocess.run(["kill", "-9", str(pid)], check=True)
    assert workspace.left_behind() == []


def test_a_copy_has_its_own_processes(workspace: Clone) -> None:
    other = workspace.copy("in/another/folder")
    running = other.start("-c", LASTING)
    assert other.processes()
    assert workspace.processes() == {}
    running.kill()
    running.end()


@pytest.mark.parametrize(
    ("words", "stage"),
    [
        (["python", "-m", "tasks.features"], "features"),
        (["python", "-m", "tasks.distill", "women"], "distill@women"),
        (["python", "-m", "tasks.runner.child", "12", "dvc", "repro"], None),
        (["python", "-m", "flows.retrain"], None),
        (["sleep", "1"], None),
    ],
)
def test_a_stage_is_known_by_its_command_line(words: list[str], stage: str | None) -> None:
    assert stage_of(words) == stage


def test_what_a_flow_says_of_its_stages_is_read() -> None:
    lines = [
        "10:00:01 features: ran in 1.2 s",
        "10:01:00 distill@women_35_plus: restored in 0.2 s",
        "10:02:00 gate: up to date",
        "10:02:00 report: Running stage 'report':",
    ]
    ended = Ended(0, "\n".join(lines), 1.0)
    assert ended.stages("ran") == {"features"}
    assert ended.stages("ran", "restored") == {"features", "distill@women_35_plus"}


@pytest.mark.parametrize(
    ("status", "said", "clear"),
    [
        (1, "working\ndecant: error: teacher: killed by SIGKILL\n", True),
        (0, "decant: error: what\n", False),
        (1, "Traceback (most recent call last)\ndecant: error: what\n", False),
        (1, "decant: error: one\ndecant: error: two\n", False),
        (1, "nothing said\n", False),
    ],
)
def test_a_clear_complaint_is_one_line_and_a_status(status: int, said: str, clear: bool) -> None:
    assert (Ended(status, said, 1.0).error_line() is not None) is clear


def test_the_reason_of_a_failure_is_its_error_line_or_the_last() -> None:
    assert Ended(2, "decant: error: what\nbye", 1.0).error == "status 2, decant: error: what"
    assert Ended(-9, "working", 1.0).error == "status -9, working"


def test_only_what_is_committed_can_be_cloned(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "dvc.yaml").write_text("stages: {}\n")
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    with pytest.raises(CloneError, match="has no commit"):
        clone(project, tmp_path / "clone")
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    subprocess.run(["git", "add", "."], cwd=project, check=True)
    subprocess.run(["git", *identity, "commit", "-qm", "all"], cwd=project, check=True)
    (project / "later.txt").write_text("not committed")
    made = clone(project, tmp_path / "clone")
    assert (made.root / "dvc.yaml").is_file()
    assert not (made.root / "later.txt").exists()
    assert commit_of(made.root) == commit_of(project)
    assert MARKER not in made.environment


def commit(root: Path, content: str) -> None:
    (root / "dvc.yaml").write_text(content)
    as_somebody = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    for command in (("add", "."), (*as_somebody, "commit", "-q", "-m", content)):
        subprocess.run(["git", *command], cwd=root, check=True)


def test_a_clone_that_is_kept_follows_the_project_and_keeps_what_it_has_made(
    tmp_path: Path,
) -> None:
    project, kept = tmp_path / "project", tmp_path / "kept" / "clone"
    project.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    commit(project, "stages: {}\n")
    assert renewed(project, kept).root == kept
    (kept / "made.txt").write_text("hours of work")
    (kept / "dvc.yaml").write_text("edited\n")
    commit(project, "stages: {a: {cmd: a}}\n")
    renewed(project, kept)
    assert (kept / "dvc.yaml").read_text() == "stages: {a: {cmd: a}}\n"
    assert (kept / "made.txt").read_text() == "hours of work"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("10:00:01 teacher: epoch 1/6: loss 5.1, validation NDCG@10 0.3", True),
        ("10:00:01 distill@women error: the loss is not finite", True),
        ("10:00:01 evaluate: ran in 3.1 s", True),
        ("10:00:01 evaluate: teacher: test NDCG@10 0.4735 on all users", False),
        ("10:00:01 gate: lift 0.02 on test", False),
        ("10:00:01 retrain error: candidate 1f is not released: test 0.1", False),
        ("model, test window   NDCG@10", False),
        ("teacher               0.4735", False),
        ("decant: error: candidate 1f is not released: retention 0.5", False),
        ("decant: error: teacher: killed by SIGKILL", True),
    ],
)
def test_lines_that_may_tell_of_test_are_known(line: str, shown: bool) -> None:
    assert silent_on_test(line) is shown


def test_lines_that_are_not_to_be_shown_are_not(
    workspace: Clone, capfd: pytest.CaptureFixture[str]
) -> None:
    code = "print('seen'); print('hidden', flush=True); raise SystemExit(5)"
    assert workspace.show("-c", code, shown=lambda line: line == "seen") == 5
    assert capfd.readouterr().err == "seen\n"


def test_what_is_shown_goes_past_the_log(
    workspace: Clone, capfd: pytest.CaptureFixture[str]
) -> None:
    assert workspace.show("-c", "print('seen'); raise SystemExit(5)") == 5
    assert capfd.readouterr().err == "seen\n"
