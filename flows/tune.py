"""Search better settings of one stage on validation, and show the change to params.yaml.

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

ABOUT = """Search better settings of one stage, as `tune` in params.yaml says: stage, method, trials
and the range of each setting. Every trial is judged on validation, in windows one behind the other
in time; the test window is not looked at, nor are the users whose validation decides about a
release. The current settings are trial 0: if none is surely better, nothing changes. A better one
is shown as a diff of params.yaml. A search that was interrupted goes on with the same command, and
one of more trials with those that are there."""
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
    """Bring what the stage reads up to date, then search.

    Raises:
        StageError: a stage before it ended with an error.
        ValueError: there is nothing to search, or the current settings cannot be trained.
    """
    root = Path.cwd()
    with workspace(root, wait=deployment.id is not None) as run:
        params = with_options(load_params(root / "params.yaml"), options)
        plan_of(params)  # before anything runs
        for step in BEFORE if params.tune.stage == "teacher" else (*BEFORE, *FOR_STUDENTS):
            stage(step)(run)
        return tune_task(root, params, apply=options.apply)


def with_options(params: Params, options: Options) -> Params:
    """The settings, with the options in their place."""
    changes = {
        name: value
        for name in ("trials", "workers")
        if (value := getattr(options, name)) is not None
    }
    return params.model_copy(update={"tune": params.tune.model_copy(update=changes)})


def positive(text: str) -> int:
    """Read a whole number of at least 1.

    Raises:
        ArgumentTypeError: the text is another.
    """
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"`{text}` is not a whole number of at least 1")


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
