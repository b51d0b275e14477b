"""Processes that end with the one that started them, from their first moment on (Linux).

The kernel is asked to kill a process when its parent ends. A parent that ended before it was asked
is noticed by its name: whoever starts a process writes its own id into the environment, and one
that is no ancestor any more is gone, even if its id is in use again.

Run as a program, this file does so for a command of any kind: see `tied`. It imports the standard
library alone, since whatever takes its time must come after.
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
    """What the environment of a process that this one starts has to hold."""
    return {VARIABLE: str(os.getpid())}


def end_with_starter() -> None:
    """Have the kernel kill this process when its parent ends; end now if the starter is gone.

    Without a starter in the environment (a command of the shell, plain DVC) only the former. What
    this process starts in turn finds it named there.

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
    """Whether a process is this one or above it; others may stand between, such as a shell."""
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
        return 0  # it has ended meanwhile, or is nobody's to look at
    return int(state.rpartition(b")")[2].split()[1])  # after the name, which may hold anything


def tied(command: list[str]) -> list[str]:
    """The command line of a command that ends with this process."""
    return [sys.executable, "-P", __file__, str(os.getpid()), *command]  # -P: no module of ours


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
