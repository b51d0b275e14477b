"""One workspace, one run; DVC works with and without Git; nothing dead holds it."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from decant.features.segments import RuleError
from decant.params.load import ParamsError
from flows.workspace import forget_students, prepare, release_dead_locks, workspace
from tasks.runner.dvc_stages import StageError, WorkspaceError
from tasks.runner.prefect_task import OneLineErrors


def test_without_git_dvc_is_told_so_and_with_git_again_not(project: Any) -> None:
    own = project.root / ".dvc/config.local"
    own.unlink()
    prepare(project.root)
    assert "no_scm = true" in own.read_text()
    (project.root / ".git").mkdir()
    prepare(project.root)
    assert not own.exists()


def test_outside_the_project_it_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"dvc\.yaml is missing .* run from the project"):
        prepare(tmp_path)


def test_wrong_settings_are_found_before_anything_starts(project: Any) -> None:
    (project.root / "params.yaml").write_text("sead: 1\n")
    with pytest.raises(ParamsError, match="sead"), workspace(project.root):
        pass
    assert project.started() == []


def test_a_setting_that_params_yaml_lacks_is_found_before_anything_starts(project: Any) -> None:
    path = project.root / "params.yaml"
    params = yaml.safe_load(path.read_text())
    del params["raw"]["seed"]
    path.write_text(yaml.safe_dump(params))
    advice = r"lacks `raw\.seed`, which dvc\.yaml names: `decant configure --upgrade`"
    with pytest.raises(WorkspaceError, match=advice), workspace(project.root):
        pass
    assert project.started() == []


def add_students(root: Path, **rules: dict[str, Any]) -> None:
    """Add students to params.yaml, each with its rule and priority."""
    path = root / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["students"] |= {name: {"init": "general", **rule} for name, rule in rules.items()}
    path.write_text(yaml.safe_dump(params))


def test_rules_that_serve_nobody_are_found_before_anything_starts(project: Any) -> None:
    young, younger = {"where": "age < 30", "priority": 1}, {"where": "age < 20"}
    add_students(project.root, young=young, younger=younger)
    wrong = r"students\.younger\.where: .* never serve a user"
    with pytest.raises(RuleError, match=wrong), workspace(project.root):
        pass
    assert project.started() == []


def test_rules_between_which_a_name_decides_are_told_first(
    project: Any, caplog: pytest.LogCaptureFixture
) -> None:
    add_students(project.root, young={"where": "age < 30"}, old={"where": "age > 20"})
    with workspace(project.root):
        message = [record.getMessage() for record in caplog.records]
    assert any("students.old and students.young have priority 0" in line for line in message)


def test_settings_without_effect_are_told_once_at_the_start(
    project: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = project.root / "params.yaml"
    path.write_text(f"{path.read_text()}\ndistill: {{soft_weight: 0, temperature: 2}}\n")
    with workspace(project.root), workspace(project.root):
        message = [record for record in caplog.records if "no effect" in record.getMessage()]
    (record,) = message
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("`distill.temperature` has no effect: only the soft-lab")


def test_a_workspace_shows_what_is_stale(finished: Any) -> None:
    finished.add_row()
    with workspace(finished.root) as run:
        assert run.reason("raw") is not None
        assert run.reason("ingest") is not None
        assert run.reason("names") is None


@pytest.mark.parametrize("content", [b"", b"\0\1", b"<<<<<<< HEAD\n", b"- a", b"a: \xe9"])
def test_a_broken_record_of_the_last_run_says_what_to_do(finished: Any, content: bytes) -> None:
    record = finished.root / "dvc.lock"
    record.write_bytes(content)
    with (
        pytest.raises(WorkspaceError, match=r"dvc\.lock.*; remove dvc\.lock and run") as error,
        workspace(finished.root),
    ):
        pass
    assert "\n" not in str(error.value)
    record.unlink()
    with workspace(finished.root) as run:
        run.perform("raw", print)
        assert run.perform("ingest", print).status == "restored"
    assert finished.started() == []


def holding(pid: int) -> dict[str, Any]:
    return {"read": {"/x": [{"pid": pid, "cmd": "dvc"}]}, "write": {}}


def test_locks_of_strangers_and_torn_lock_files_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "rwlock"
    for text in (json.dumps(holding(os.getpid())), '{"read": {'):
        path.write_text(text)
        release_dead_locks(path)
        assert not path.exists()


OF_STUDENTS = (
    "models/teacher", "models/general", "models/old", "compressed/old", "training/teacher",
    "training/general", "training/old",
)  # fmt: skip


def test_models_of_students_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    for name in OF_STUDENTS:
        (tmp_path / "data" / name).mkdir(parents=True)
    forget_students(tmp_path, ["general"])
    left = {path.name for path in tmp_path.glob("data/*/*")}
    assert left == {"teacher", "general"}


def test_records_of_students_that_are_gone_are_forgotten(finished: Any) -> None:
    record = finished.root / "dvc.lock"
    before = yaml.safe_load(record.read_text())["stages"]
    assert {"distill@general", "distill@women", "distill@men"} <= set(before)
    forget_students(finished.root, ["general", "men"])
    after = yaml.safe_load(record.read_text())["stages"]
    assert after == {name: stage for name, stage in before.items() if name != "distill@women"}
    unchanged = record.read_bytes()
    forget_students(finished.root, ["general", "men"])
    assert record.read_bytes() == unchanged


def test_an_error_that_says_it_all_comes_without_its_stack() -> None:
    for error, kept in ((StageError("a", "b"), False), (KeyError("x"), True)):
        record = logging.LogRecord("x", 40, "", 1, "m", (), (type(error), error, None))
        assert OneLineErrors().filter(record)
        assert bool(record.exc_info) is kept
