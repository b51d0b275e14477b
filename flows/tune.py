"""Search for better settings of one stage on validation, and show the change to params.yaml.

Run: `python -m flows.tune [--apply] [--trials N] [--workers N]`
"""

import argparse
import sys
from pathlib import Path

from prefect import flow
from prefect.runtime import deployment
from pydantic import BaseModel, ConfigDict, Field

from decant.cli import Parser
from decant.params.load import Params, load_params
from flows.console import run_cli
from flows.server import temporary_server
from flows.workspace import threads, workspace
from tasks.runner.prefect_task import stage
from tasks.tune import SearchSummary, plan_of, tune_task

ABOUT = """Search for better settings of one stage. `tune` in params.yaml gives stage, method,
trials and the range of each setting. Trials are compared on validation, in consecutive time
windows; neither the test window nor the users whose validation decides on a release are used. The
current settings are trial 0: nothing changes unless a trial is significantly better. A better one
is shown as a diff of params.yaml. The same command resumes an interrupted search; with more
trials, it extends a finished one."""
BEFORE = ("raw", "ingest", "validate", "features", "embed")
FOR_STUDENTS = ("teacher", "knowledge")


class Options(BaseModel):
    """Options of a search."""

    model_config = ConfigDict(extra="forbid")

    apply: bool = Field(default=False, description="write the change into params.yaml")
    trials: int | None = Field(
        default=None, ge=1, le=10_000, description="instead of tune.trials in params.yaml"
    )
    workers: int | None = Field(
        default=None, ge=1, le=256, description="instead of tune.workers in params.yaml"
    )


DEFAULTS = Options()


@flow(name="tune", task_runner=threads(), persist_result=False)
def tune(options: Options = DEFAULTS) -> SearchSummary:
    """Bring the inputs of the stage up to date, then search.

    Raises:
        StageError: an upstream stage failed.
        ValueError: there is nothing to search, or the current settings cannot be trained.
    """
    root = Path.cwd()
    with workspace(root, wait=deployment.id is not None) as run:
        params = with_options(load_params(root / "params.yaml"), options)
        plan_of(params)  # fail before anything runs
        for step in BEFORE if params.tune.stage == "teacher" else (*BEFORE, *FOR_STUDENTS):
            stage(step)(run)
        return tune_task(root, params, apply=options.apply)


def with_options(params: Params, options: Options) -> Params:
    """The settings, overridden by the options."""
    changes = {
        name: value
        for name in ("trials", "workers")
        if (value := getattr(options, name)) is not None
    }
    return params.model_copy(update={"tune": params.tune.model_copy(update=changes)})


def positive(text: str) -> int:
    """Parse a whole number of at least 1.

    Raises:
        ArgumentTypeError: the text is something else.
    """
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(
        f"invalid number `{text}`: expected a whole number of at least 1"
    )


def main(arguments: list[str] | None = None) -> int:
    """Command-line entry point."""
    parser = Parser(prog="python -m flows.tune", description=ABOUT)
    parser.add_argument(
        "--apply", action="store_true", help="write the change into params.yaml, if there is one"
    )
    parser.add_argument(
        "--trials", type=positive, metavar="N", help="instead of tune.trials in params.yaml"
    )
    parser.add_argument(
        "--workers", type=positive, metavar="N", help="instead of tune.workers in params.yaml"
    )
    options = Options(**vars(parser.parse_args(arguments)))
    with temporary_server(meanwhile=workspace(Path.cwd())):
        summary = tune(options)
    print(summary)
    return 0


if __name__ == "__main__":
    sys.exit(run_cli(main))
