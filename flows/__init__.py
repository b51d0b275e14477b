"""Flows compose tasks. Prefect reads its settings when it is imported, so they are given here.

A process that another one of Decant has started, such as a server, asks here to end with it: see
`decant.starter`. A command of the shell has no starter, and outlives the shell.
"""

import os
from pathlib import Path

from decant.starter import VARIABLE, end_with_starter

SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}


def settle(workspace: Path) -> None:
    """Give Prefect a home in the workspace and keep it quiet, where nothing else was asked for."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if (workspace / "dvc.yaml").is_file() and "PREFECT_HOME" not in os.environ:
        home = workspace / ".decant" / "prefect"
        home.mkdir(parents=True, exist_ok=True)
        os.environ["PREFECT_HOME"] = str(home)


def end_with_server() -> None:
    """End with the process of Decant that has started this one, if one has.

    The kernel forgets with the thread that asked: ask again in the main one, where Prefect imports
    flows in another.
    """
    if VARIABLE in os.environ:
        end_with_starter()


end_with_server()
settle(Path.cwd())
