"""Register every flow with a Prefect server and run what is asked for, one at a time.

Run: `python -m flows.serve` (with the server that PREFECT_API_URL names), or
`python -m flows.serve --with-server [--port 4200]`: starts one beside it.
"""

import os
import sys
from pathlib import Path
from typing import cast

from prefect import serve
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron

from decant.cli import Parser, port
from decant.params import Schedule, load_params
from flows.console import guarded
from flows.promote import promote
from flows.rerun import rerun
from flows.retrain import DEFAULTS, retrain
from flows.server import ServerFailed, configured_server, free_port, lasting_server

PORT = 4200
ABOUT = """Register every flow with a Prefect server and run what is due or asked for, one run at a
time. The server is the one that PREFECT_API_URL names, or with --with-server one of its own."""


def deployments(schedule: Schedule) -> list[RunnerDeployment]:
    """Every flow as the server shall know it; retrain runs of itself on the schedule."""
    made = [
        retrain.to_deployment(
            "retrain",
            schedule=Cron(schedule.cron, timezone=schedule.timezone),
            parameters={"options": DEFAULTS.model_dump(mode="json")},
            description="raw logs -> a released family of students",
        ),
        rerun.to_deployment("rerun-stage", description="one stage again, and what is below it"),
        promote.to_deployment("promote", description="point a channel at a release"),
    ]
    return cast(list[RunnerDeployment], made)


def main(arguments: list[str] | None = None) -> int:
    """Be the command line."""
    parser = Parser(prog="python -m flows.serve", description=ABOUT)
    parser.add_argument("--with-server", action="store_true", help="start a server with a UI too")
    parser.add_argument(
        "--port", type=port, default=PORT, help=f"of that server, 0: any free one; default: {PORT}"
    )
    given = parser.parse_args(arguments)
    schedule = load_params(Path("params.yaml")).schedule
    if not given.with_server:
        if configured_server() is None:
            raise ServerFailed("no Prefect server: set PREFECT_API_URL, or add --with-server")
        serve(*deployments(schedule), limit=1)
        return 0
    with lasting_server("127.0.0.1", given.port or free_port()) as address:
        os.environ["PREFECT_API_URL"] = f"{address}/api"  # runs are processes of their own
        print(f"Prefect UI: {address}  (Ctrl-C ends it)", flush=True)
        serve(*deployments(schedule), limit=1, print_starting_message=False)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
