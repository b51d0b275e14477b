"""One run at a time, one program of a step at a time; nothing dead holds a folder."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from decant.lock import LOCK, PROGRAMS, BusyError, locked, only_program

REPOSITORY = Path(__file__).resolve().parents[2]
HOLDER = """
import sys
from pathlib import Path
from decant.lock import locked, only_program
name = sys.argv[2:]
with only_program(Path(sys.argv[1]), *name) if name else locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(root: Path, *name: str) -> subprocess.Popen[bytes]:
    """A process that holds the lock of the workspace, or of a step's program."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(root), *name],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    return holder


def end(holder: subprocess.Popen[bytes]) -> None:
    holder.kill()
    holder.wait()


def test_a_second_run_is_refused_in_one_line_that_names_the_first(tmp_path: Path) -> None:
    holder = hold(tmp_path)
    with pytest.raises(BusyError, match=f"process {holder.pid}") as error, locked(tmp_path):
        pass
    assert "\n" not in str(error.value)
    end(holder)
    with locked(tmp_path):
        pass


def test_a_second_program_is_refused_in_one_line_that_names_the_first(tmp_path: Path) -> None:
    holder = hold(tmp_path, "distill@women")
    with (
        pytest.raises(BusyError, match=rf"distill@women .* UTC \(process {holder.pid}\)") as error,
        only_program(tmp_path, "distill@women", patience=0.1),
    ):
        pass
    assert "\n" not in str(error.value)
    with only_program(tmp_path, "distill@men", patience=0.0):
        pass
    end(holder)


def test_a_program_that_is_dying_is_waited_for(tmp_path: Path) -> None:
    holder = hold(tmp_path, "teacher")
    timer = threading.Timer(0.2, holder.kill)
    timer.start()
    with only_program(tmp_path, "teacher", patience=60):
        assert holder.wait() == -9
    timer.join()


def test_a_run_and_the_programs_of_its_steps_do_not_exclude_each_other(tmp_path: Path) -> None:
    with locked(tmp_path), only_program(tmp_path, "teacher", 0), only_program(tmp_path, "gate", 0):
        pass


@pytest.mark.parametrize(
    "note",
    [
        "",
        "{",
        "3",
        "[]",
        '{"pid": "x"}',
        '{"pid": 3}',
        "\0" * 50,
        "\xff",
        '{"pid": 1e999}',
        "[" * 4000,
    ],
)
def test_a_holder_whose_note_is_damaged_is_not_named(tmp_path: Path, note: str) -> None:
    with locked(tmp_path):
        (tmp_path / LOCK).write_text(note, encoding="latin-1")
        with (
            pytest.raises(BusyError, match="^a run is under way in this folder; wait"),
            locked(tmp_path),
        ):
            pass


def test_the_note_is_gone_with_the_lock(tmp_path: Path) -> None:
    with locked(tmp_path), only_program(tmp_path, "teacher"):
        pass
    for path in (LOCK, PROGRAMS / "teacher.lock"):
        assert (tmp_path / path).read_bytes() == b""


def test_the_lock_is_free_after_the_block(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path), pytest.raises(BusyError), locked(tmp_path):
            pass
