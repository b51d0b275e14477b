"""Processes that end with the process that started them, from their first moment on (Linux).

The kernel kills a process when its parent ends, on request. To detect a parent that ended before
the request, the starter writes its id into the environment: an id that is not an ancestor's belongs
to a process that is gone, even if the id is in use again.

Run as a program, this file ties any command to its starter: see `tied`. It imports only the
standard library, because slow imports must come after the request.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

VARIABLE = "DECANT_STARTED_BY"
_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_NO_COMMAND = 127


def signature() -> dict[str, str]:
    """Environment variables for processes that this one starts."""
    return {VARIABLE: str(os.getpid())}


def end_with_starter() -> None:
    """Have the kernel kill this process when its parent ends; exit now if the starter is gone.

    The starter is checked only if the environment names one, unlike in a shell or plain DVC. Child
    processes find this process as their starter.

    Raises:
        SystemExit: the starter is gone.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    starter = os.environ.get(VARIABLE, "")
    if starter.isdecimal() and not _descends_from(int(starter)):
        sys.exit(f"error: the process {starter} that started this is gone")
    os.environ.update(signature())


def _descends_from(ancestor: int) -> bool:
    """Whether a process is this one or an ancestor, with others such as a shell in between."""
    if ancestor == os.getpid():
        return True
    pid = os.getppid()
    while pid and pid != ancestor:
        pid = _parent_of(pid)
    return pid == ancestor


def _parent_of(pid: int) -> int:
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0  # it has ended, or is not readable
    return int(
        state.rpartition(b")")[2].split()[1]
    )  # the fields after the name, which may hold anything


def tied(command: list[str]) -> list[str]:
    """The command line of a command that ends with this process."""
    return [sys.executable, "-P", __file__, str(os.getpid()), *command]  # -P: no project modules


def main(starter: str, *command: str) -> None:
    """Become a command that ends with its starter."""
    os.environ[VARIABLE] = starter
    end_with_starter()
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"error: {command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(_NO_COMMAND)


if __name__ == "__main__":
    main(*sys.argv[1:])
