"""What is started ends with its starter, whenever that is killed."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from decant.starter import VARIABLE, signature, tied

REPOSITORY = Path(__file__).resolve().parents[2]
SLOW_IMPORT = """
import os, pathlib, time
pathlib.Path("importing").touch()
while not pathlib.Path("go-on").exists():
    time.sleep(0.02)
pathlib.Path("written").touch()
os._exit(0)
"""
STARTER = """
import os, subprocess
from decant.starter import signature
os.environ.update(signature())
subprocess.run(["/bin/sh", "-c", "exec python -m tasks.teacher"])
"""
STARTER_OF_ANY = """
import subprocess, sys
from decant.starter import tied
subprocess.run(tied([sys.executable, "-c", sys.argv[1]]))
"""


def environment(*places: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != VARIABLE}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**kept, "PATH": path, "PYTHONPATH": os.pathsep.join(map(str, [*places, REPOSITORY]))}


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def running_in(folder: Path) -> list[psutil.Process]:
    result = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                result.append(process)
        except (psutil.Error, OSError):
            continue  # it has ended, or is not ours to look at
    return [process for process in result if process.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A package that a step's program imports first takes its time, then writes."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "tqdm.py").write_text(SLOW_IMPORT)
    return tmp_path / "packages"


def test_a_program_whose_starter_is_killed_while_it_is_imported_writes_nothing(
    tmp_path: Path, slow: Path
) -> None:
    rng = random.Random(0)
    for number in range(20):
        folder = tmp_path / f"run-{number}"
        folder.mkdir()
        flow = subprocess.Popen([sys.executable, "-c", STARTER], cwd=folder, env=environment(slow))
        if number % 2:  # else at any instant before
            until((folder / "importing").exists)
        time.sleep(rng.uniform(0, 0.2))
        flow.kill()
        flow.wait()
        (folder / "go-on").touch()  # who is left writes
    until(lambda: not running_in(tmp_path))
    assert list(tmp_path.rglob("written")) == []


def test_a_program_whose_starter_lives_is_imported_to_its_end(tmp_path: Path, slow: Path) -> None:
    (tmp_path / "go-on").touch()
    subprocess.run([sys.executable, "-c", STARTER], cwd=tmp_path, env=environment(slow), check=True)
    assert (tmp_path / "written").exists()


def start_step(tmp_path: Path, slow: Path, starter: int) -> subprocess.CompletedProcess[str]:
    (tmp_path / "go-on").touch()
    return subprocess.run(
        ["/bin/sh", "-c", "python -m tasks.teacher; exit $?"],
        cwd=tmp_path, env={**environment(slow), VARIABLE: str(starter)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_shell_may_stand_between_a_program_and_its_starter(tmp_path: Path, slow: Path) -> None:
    assert start_step(tmp_path, slow, os.getpid()).returncode == 0


def test_a_starter_that_is_gone_is_noticed_before_anything_is_imported(
    tmp_path: Path, slow: Path
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    done = start_step(tmp_path, slow, gone.pid)
    assert (done.returncode, done.stderr) == (
        1,
        f"error: the process {gone.pid} that started this is gone\n",
    )
    assert not (tmp_path / "importing").exists()


def test_an_id_that_somebody_else_has_got_is_not_taken_for_the_starter(
    tmp_path: Path, slow: Path
) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    done = start_step(tmp_path, slow, stranger.pid)
    stranger.kill()
    stranger.wait()
    assert done.returncode == 1 and "is gone" in done.stderr


def test_what_is_only_imported_asks_for_nothing(tmp_path: Path) -> None:
    code = f"import os, tasks.runner.process; print(os.environ.get('{VARIABLE}'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "None\n"


def test_a_command_of_any_kind_can_be_tied(tmp_path: Path) -> None:
    lasting = "import pathlib, time; pathlib.Path('started').touch(); time.sleep(60)"
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER_OF_ANY, lasting], cwd=tmp_path, env=environment()
    )
    until(lambda: (tmp_path / "started").exists())
    starter.kill()
    starter.wait()
    until(lambda: not running_in(tmp_path))


def test_a_tied_command_that_is_not_there_is_one_line() -> None:
    done = subprocess.run(tied(["no-such-command"]), capture_output=True, text=True, check=False)
    assert done.returncode == 127
    assert done.stderr == "error: no-such-command: No such file or directory\n"


def test_a_process_signs_with_its_own_id() -> None:
    assert signature() == {VARIABLE: str(os.getpid())}
