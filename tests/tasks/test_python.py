"""Which Python a stage gets: the project's own, from whatever shell DVC was started."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BARE = {"PATH": "/usr/bin:/bin", "HOME": "/nowhere", "SHELL": "/bin/sh"}
DVC_YAML = """
stages:
  one:
    cmd: exec tasks/python -m tasks.one
    outs: [made.txt]
"""


def interpreter(folder: Path, name: str) -> Path:
    """A `python` that says its name, and what it was asked for."""
    folder.mkdir(parents=True)
    path = folder / "python"
    path.write_text(f'#!/bin/sh\necho "{name} $*"\n')
    path.chmod(0o755)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the launcher and an environment in .venv."""
    root = tmp_path / "project"
    (root / "tasks").mkdir(parents=True)
    shutil.copy(REPOSITORY / "tasks" / "python", root / "tasks")
    interpreter(root / ".venv" / "bin", "own")
    return root


def started(folder: Path, *path: Path, **environment: str) -> str:
    """What the launcher starts in `folder`, with `path` first on PATH."""
    result = os.pathsep.join([*map(str, path), BARE["PATH"]])
    done = subprocess.run(
        ["/bin/sh", "-c", "exec tasks/python -m tasks.one a"],
        cwd=folder, env={**BARE, "PATH": result, **environment}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_a_bare_shell_gets_the_projects_own(project: Path, tmp_path: Path) -> None:
    assert started(project) == "own -m tasks.one a"
    system = interpreter(tmp_path / "system", "system")
    assert started(project, system) == "own -m tasks.one a"


def test_an_activated_environment_elsewhere_comes_first(project: Path, tmp_path: Path) -> None:
    other = interpreter(tmp_path / "other" / "bin", "other")
    assert started(project, other, VIRTUAL_ENV=str(other.parent)) == "other -m tasks.one a"


def test_a_flow_gives_its_own(project: Path, tmp_path: Path) -> None:
    flows = interpreter(tmp_path / "flows", "flows")
    assert started(project, flows, DECANT_STARTED_BY="1") == "flows -m tasks.one a"


def test_a_project_without_an_environment_takes_the_first_on_the_path(
    project: Path, tmp_path: Path
) -> None:
    shutil.rmtree(project / ".venv")
    assert started(project, interpreter(tmp_path / "some", "some")) == "some -m tasks.one a"


def test_a_copy_that_dvc_works_in_has_its_projects(project: Path) -> None:
    copy = project / ".dvc" / "tmp" / "exps" / "standalone" / "abc"
    shutil.copytree(project / "tasks", copy / "tasks")
    assert started(copy) == "own -m tasks.one a"


def test_plain_dvc_runs_a_stage_in_a_bare_shell(project: Path) -> None:
    """The command in dvc.lock names no place of this machine."""
    own = project / ".venv" / "bin" / "python"
    own.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (project / "tasks" / "__init__.py").touch()
    (project / "tasks" / "one.py").write_text("open('made.txt', 'w').write('x')\n")
    (project / "dvc.yaml").write_text(DVC_YAML)
    (project / ".dvc").mkdir()
    (project / ".dvc" / "config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro"],
        cwd=project, env=BARE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (project / "made.txt").read_text() == "x"
    assert "cmd: exec tasks/python -m tasks.one\n" in (project / "dvc.lock").read_text()


def test_every_stage_is_started_by_it() -> None:
    lines = (REPOSITORY / "dvc.yaml").read_text(encoding="utf-8").splitlines()
    commands = [line.strip() for line in lines if line.strip().startswith("cmd:")]
    assert commands
    assert all(c.startswith("cmd: exec tasks/python -m tasks.") for c in commands)
