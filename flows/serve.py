"""Register every flow with a Prefect server and execute scheduled and requested runs in turn.

Run: `python -m flows.serve` (with the server that PREFECT_API_URL names), or
`python -m flows.serve --with-server [--port 4200]`, which starts a server too.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn, cast

from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner
from prefect.schedules import Cron

from decant.cli import Parser, port
from decant.params.load import load_params
from decant.params.release import Schedule
from decant.starter import signature
from flows.console import run_cli
from flows.promote import promote
from flows.rerun import rerun
from flows.retrain import DEFAULTS, retrain
from flows.server import ServerError, configured_server, free_port, lasting_server
from flows.tune import DEFAULTS as AS_PARAMS_SAY
from flows.tune import tune

PORT = 4200
INTERRUPTED, TERMINATED = 130, 143
ABOUT = """Register every flow with a Prefect server and execute scheduled and requested runs, one
at a time. The server is the one that PREFECT_API_URL names; --with-server starts one instead."""


def deployments(schedule: Schedule) -> list[RunnerDeployment]:
    """Deployments of all flows; retrain runs automatically on the schedule."""
    made = [
        retrain.to_deployment(
            "retrain",
            schedule=Cron(schedule.cron, timezone=schedule.timezone),
            parameters={"options": DEFAULTS.model_dump(mode="json")},
            description="raw logs -> a released family of students",
        ),
        rerun.to_deployment("rerun-stage", description="rerun one stage, and what is downstream"),
        tune.to_deployment(
            "tune",
            parameters={"options": AS_PARAMS_SAY.model_dump(mode="json")},
            description="better settings of one stage, searched on validation",
        ),
        promote.to_deployment("promote", description="point a channel at a release"),
    ]
    return cast(list[RunnerDeployment], made)


class Service(Runner):
    """A runner that ends on SIGTERM as on Ctrl-C; Prefect's own prints a traceback.

    `asked`: SIGTERM came before it started. Its exception is lost if it is raised in a destructor.
    """

    asked = False
    _ends: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None] | None = None

    async def start(self, *arguments: Any, **options: Any) -> None:
        """Execute scheduled and requested runs until the task is cancelled."""
        self._ends = asyncio.get_running_loop(), asyncio.current_task()
        if self.asked:
            raise asyncio.CancelledError
        await super().start(*arguments, **options)

    def handle_sigterm(self, *_: Any) -> None:
        """Shut down in order: pause schedules, end runs."""
        if self._ends is None:
            self.asked = True
            end()
        loop, task = self._ends
        assert task is not None, "it was started"
        loop.call_soon_threadsafe(task.cancel)


def serve(schedule: Schedule) -> int:
    """Register every flow, execute runs in turn until a signal; return the exit status."""
    service = Service(limit=1)
    signal.signal(signal.SIGTERM, service.handle_sigterm)
    try:
        for deployment in deployments(schedule):
            service.add_deployment(deployment)
            if service.asked:
                return TERMINATED
        asyncio.run(service.start())
    except asyncio.CancelledError:
        return TERMINATED
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, end)
    return 0


def end(*_: Any) -> NoReturn:
    """Handle SIGTERM outside `serve`: exit, which stops the child processes."""
    sys.exit(TERMINATED)


def main(arguments: list[str] | None = None) -> int:
    """Command-line entry point."""
    parser = Parser(prog="python -m flows.serve", description=ABOUT)
    parser.add_argument("--with-server", action="store_true", help="also start a server with a UI")
    parser.add_argument(
        "--port",
        type=port,
        default=PORT,
        help=f"port of that server, 0: any free port; default: {PORT}",
    )
    given = parser.parse_args(arguments)
    schedule = load_params(Path("params.yaml")).schedule
    if not given.with_server and configured_server() is None:
        raise ServerError("no Prefect server: set PREFECT_API_URL, or add --with-server")
    signal.signal(signal.SIGTERM, end)
    os.environ.update(signature())  # runs started by Prefect end with this process
    if not given.with_server:
        return serve(schedule)
    with lasting_server("127.0.0.1", given.port or free_port()) as address:
        os.environ["PREFECT_API_URL"] = f"{address}/api"  # for runs, which are separate processes
        print(f"Prefect UI: {address}  (Ctrl-C ends it)", flush=True)
        return serve(schedule)


if __name__ == "__main__":
    sys.exit(run_cli(main))
