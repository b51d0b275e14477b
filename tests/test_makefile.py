"""What is given to make reaches the commands as it was typed; what it starts ends with it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
STARTER = f"""#!/bin/sh
if [ "$2" = decant.starter ]; then PYTHONPATH={REPOSITORY} exec {sys.executable} "$@"; fi
"""
SAY = STARTER + 'for said in "${0##*/}" "$@"; do echo "[$said]"; done\n'
LAST = STARTER + "echo $$ > lasting; exec sleep 60\n"
# of a make around the tests
OF_MAKE = re.compile(r"MAKE|MFLAGS|(SOURCE|FROM|PROFILE|PROTOCOL|PORT|(STUDENT_)?GROUPS)$")
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


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not OF_MAKE.match(name)}


def make(project: Path, *arguments: str, **given: str) -> list[str]:
    done = subprocess.run(
        ["make", *arguments],
        cwd=project, env={**environment(), **given}, capture_output=True, text=True, check=True,
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
    options = ("source", "from", "profile", "protocol", "groups")
    given = [f"{option.upper()}={value}" for option in options]
    message = ["decant", "configure", *(f"--{option}={value}" for option in options)]
    assert make(project, "run", *given) == message + RETRAIN
    assert make(project, "ui", f"PORT={value}") == [*SERVE, f"--port={value}"]
    assert make(project, "serve", f"PORT={value}") == ["decant", "serve", f"--port={value}"]


def test_a_shell_with_groups_of_its_own_gets_those_that_are_given(project: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash, whose $GROUPS are those of the account")
    assert make(project, "run", f"SHELL={bash}") == RETRAIN
    expected = ["decant", "configure", "--groups=activity", *RETRAIN]
    assert make(project, "run", f"SHELL={bash}", "GROUPS=activity") == expected


def test_the_environment_gives_values_too(project: Path) -> None:
    assert make(project, "run", FROM=HARD) == ["decant", "configure", f"--from={HARD}", *RETRAIN]


def test_help_is_a_list_of_what_there_is(project: Path) -> None:
    named = [line.split()[1] for line in make(project)]
    targets = "help run test coverage mutations docs ui serve env clean"
    assert named == targets.split()


def start_lasting(project: Path, target: str) -> tuple[subprocess.Popen[bytes], psutil.Process]:
    """A make whose command lasts, and that command."""
    for name in ("python", "decant"):
        (project / ".venv" / "bin" / name).write_text(LAST)
    process = subprocess.Popen(
        ["make", target], cwd=project, env=environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    noted = project / "lasting"
    deadline = time.monotonic() + 60
    while not (noted.exists() and noted.read_text().endswith("\n")):
        assert time.monotonic() < deadline and process.poll() is None, "the command did not start"
        time.sleep(0.01)
    return process, psutil.Process(int(noted.read_text()))


def lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("target", ["serve", "ui", "run"])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGINT"])
def test_what_lasts_ends_with_make(project: Path, target: str, name: str) -> None:
    running, lasting = start_lasting(project, target)
    if name == "SIGINT":  # Ctrl-C is for all that the terminal sees
        os.killpg(running.pid, signal.SIGINT)
    else:
        running.send_signal(getattr(signal, name))
    running.wait(30)
    deadline = time.monotonic() + 30
    while lives(lasting):
        assert time.monotonic() < deadline, "the command goes on"
        time.sleep(0.01)


def test_make_waits_for_what_it_has_told_to_end(project: Path) -> None:
    running, lasting = start_lasting(project, "serve")
    running.terminate()
    running.wait(30)
    assert not lives(lasting)
