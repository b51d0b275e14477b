"""Flows compose tasks. Prefect reads its settings on import, so they are set here first.

A process started by another Decant process, such as a server, asks here to end with its parent:
see `decant.starter`. A command typed in a shell has no starter and outlives the shell.
"""

import os
import signal
import sys
from pathlib import Path

from decant.starter import VARIABLE, end_with_starter
from flows.home import configure_prefect


def end_with_server() -> None:
    """End with the Decant process that started this one, if any.

    The kernel drops the request when the requesting thread ends. Prefect imports flows in a worker
    thread, so the main thread has to ask again.
    """
    if VARIABLE in os.environ:
        end_with_starter()


def leave_quietly() -> None:
    """Let Ctrl-C end a command without a stack trace during its imports, which take seconds.

    `flows.console.run_cli` takes over then and prints one line.
    """
    if sys.argv[0] == "-m" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


leave_quietly()
end_with_server()
configure_prefect(Path.cwd())
