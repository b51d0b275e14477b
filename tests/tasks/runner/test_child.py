"""What DVC cannot do is said in one line, and of its own files what to do with them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]


def state(folder: Path) -> subprocess.CompletedProcess[str]:
    """Ask for the state of a project as a flow does."""
    return subprocess.run(
        [sys.executable, "-m", "tasks.runner.child", "state"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", [".dvc/tmp", ".dvc/cache"])
def test_a_file_in_the_place_of_a_folder_of_dvcs_own_is_named(finished: Any, name: str) -> None:
    place = finished.root / name
    place.rename(finished.root / "aside")
    place.write_text("in the way")
    finished.add_row()
    message = state(finished.root)
    said = f"error: {name} cannot be used (a folder is needed there): move it away\n"
    assert (message.returncode, message.stdout, message.stderr) == (2, "", said)


def test_a_damaged_graph_is_one_line(project: Any) -> None:
    (project.root / "dvc.yaml").write_text("stages: {raw: {cmd: }}\n")
    message = state(project.root)
    assert (message.returncode, message.stdout) == (2, "")
    assert message.stderr.startswith("error: ")
    assert message.stderr.count("\n") == 1
