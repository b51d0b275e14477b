"""Flows compose tasks. Prefect reads its settings when it is imported, so they are given here.

A process that another one of Decant has started, such as a server, asks here to end with it: see
`decant.starter`. A command of the shell has no starter, and outlives the shell.
"""

import os
import signal
import sys
from pathlib import Path

from decant.starter import VARIABLE, end_with_starter
from flows.home import configure_prefect


def end_with_server() -> None:
    """End with the process of Decant that has started this one, if one has.

    The kernel forgets with the thread that asked: ask again in the main one, where Prefect imports
    flows in another.
    """
    if VARIABLE in os.environ:
        end_with_starter()


def leave_quietly() -> None:
    """Let Ctrl-C end a command while it is imported, for seconds, without a stack trace.

    `flows.console.run_cli` takes over then and prints one line.
    """
    if sys.argv[0] == "-m" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


leave_quietly()
end_with_server()
configure_prefect(Path.cwd())
