"""A step notices settings that change while it runs, its own student's among them."""

from pathlib import Path

import pytest
import yaml

from decant.params.load import parse_params
from tasks.runner.input_guard import changed_settings, settings_read

GRAPH = {
    "stages": {
        "distill": {
            "foreach": "${students}",
            "do": {
                "cmd": "exec tasks/python -m tasks.distill ${key}",
                "params": ["seed", "students.${key}"],
            },
        }
    }
}
FAMILY = {
    "general": {"init": "teacher"},
    "women": {"init": "general", "where": "gender == 'F'"},
    "men": {"init": "general", "where": "gender == 'M'"},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump(GRAPH))
    return tmp_path


def changed(root: Path, **now: dict[str, object]) -> list[str]:
    """What the step of `women` notices when these students are other ones."""
    students = {name: value for name, value in {**FAMILY, **now}.items() if value}
    (root / "params.yaml").write_text(yaml.safe_dump({"students": students}))
    return changed_settings(root, "distill", parse_params({"students": FAMILY}), "women")


def test_a_stage_for_each_student_reads_its_own(root: Path) -> None:
    assert settings_read(root, "distill", "women") == ["seed", "students.women"]


def test_a_change_of_its_own_student_is_noticed_and_no_other(root: Path) -> None:
    assert changed(root) == []
    assert changed(root, men={"init": None, "where": "gender == 'M'"}) == []
    hard = {**FAMILY["women"], "labels": "hard"}
    assert changed(root, women=hard) == ["`students.women` in params.yaml"]


def test_a_student_that_was_removed_meanwhile_is_noticed(root: Path) -> None:
    assert changed(root, women={}) == ["`students.women` in params.yaml"]
