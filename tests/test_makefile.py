"""What is given to make reaches the commands as it was typed."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SAY = '#!/bin/sh\nfor said in "${0##*/}" "$@"; do echo "[$said]"; done\n'
OF_MAKE = re.compile(r"MAKE|MFLAGS|(SOURCE|FROM|PROFILE|PORT)$")  # of a make around the tests
HARD = """it's a "shop" at 5 $HOME $(x), `y`; 100% & more"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The Makefile, with an environment whose commands print what they are given."""
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "decant"):
        (programs / name).write_text(SAY)
        (programs / name).chmod(0o755)
    (tmp_path / ".venv/.ready").touch()
    return tmp_path


def make(project: Path, *arguments: str, **environment: str) -> list[str]:
    kept = {name: v for name, v in os.environ.items() if not OF_MAKE.match(name)}
    done = subprocess.run(
        ["make", *arguments],
        cwd=project, env={**kept, **environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [line.removeprefix("[").removesuffix("]") for line in done.stdout.splitlines()]


RETRAIN = ["python", "-m", "flows.retrain"]
SERVE = ["python", "-m", "flows.serve", "--with-server"]


def test_without_anything_given_only_the_flow_runs(project: Path) -> None:
    assert make(project, "run") == RETRAIN
    assert make(project, "ui") == SERVE
    assert make(project, "serve") == ["decant", "serve"]


@pytest.mark.parametrize("value", ["shop", HARD, "-dash", "$$"])
def test_a_value_is_passed_on_whole(project: Path, value: str) -> None:
    given = [f"{name}={value}" for name in ("SOURCE", "FROM", "PROFILE")]
    told = ["decant", "configure", f"--source={value}", f"--from={value}", f"--profile={value}"]
    assert make(project, "run", *given) == told + RETRAIN
    assert make(project, "ui", f"PORT={value}") == [*SERVE, f"--port={value}"]
    assert make(project, "serve", f"PORT={value}") == ["decant", "serve", f"--port={value}"]


def test_the_environment_gives_values_too(project: Path) -> None:
    assert make(project, "run", FROM=HARD) == ["decant", "configure", f"--from={HARD}", *RETRAIN]


def test_help_is_a_list_of_what_there_is(project: Path) -> None:
    named = [line.split()[1] for line in make(project)]
    assert named == ["help", "run", "test", "ui", "serve", "env", "clean"]
