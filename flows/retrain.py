"""The main job: raw logs in, a released family of students out.

Run: `python -m flows.retrain [--no-promote] [--channel production|canary]`
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from prefect import Task, flow, get_run_logger
from prefect.futures import wait
from prefect.runtime import deployment
from pydantic import BaseModel, ConfigDict, Field

from decant.cli import Parser
from decant.params.load import load_params
from decant.params.students import in_waves
from flows.console import RefusedError, print_outcome, run_cli
from flows.server import temporary_server
from flows.workspace import threads, workspace
from tasks.promote import promote_task, rolled_back
from tasks.publish import publish_task, registry_trouble
from tasks.runner.dvc_stages import Run, StageResult
from tasks.runner.prefect_task import push_task, stage

raw, ingest, validate, features = map(stage, ("raw", "ingest", "validate", "features"))
segments, embed, teacher, knowledge = map(stage, ("segments", "embed", "teacher", "knowledge"))
distill, shrink, compress = map(stage, ("distill", "shrink", "compress"))
evaluate, gate, report, candidate = map(stage, ("evaluate", "gate", "report", "candidate"))


class Channel(StrEnum):
    """A name that points at a release."""

    production = "production"
    canary = "canary"


class Options(BaseModel):
    """Options of a run."""

    model_config = ConfigDict(extra="forbid")

    promote: bool = Field(default=True, description="promote the release if it passes the gate")
    channel: Channel = Field(default=Channel.production, description="the channel to promote it to")


DEFAULTS = Options()
SHOWN = 3  # reasons in one message
ABOUT = """Raw logs in, a released family of small recommenders out. Stages that are up to date are
skipped; the release is promoted if it passes the gate and is no worse than the one in
production."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of a run: the release, and the channel that points at it now, if any.

    `not_promoted`: why it was not promoted although that was requested.
    """

    release: str
    channel: str | None
    not_promoted: str | None = None


class NotReleasableError(RefusedError):
    """The pipeline ran, but its candidate must not reach production, for `reasons`."""

    def __init__(self, release: str, reasons: tuple[str, ...]) -> None:
        self.release, self.reasons = release, reasons
        more = (f"{len(reasons) - SHOWN} more",) if len(reasons) > SHOWN else ()
        why = "; ".join((*reasons[:SHOWN], *more))
        super().__init__(
            f"candidate {release} is not released: {why}; all checks are in data/gate/summary.md"
        )


class PersonNeededError(RefusedError):
    """The release is published, but a person has to decide on its promotion."""

    def __init__(self, release: str, why: str) -> None:
        self.release, self.why = release, why
        super().__init__(
            f"release {release} is published, not promoted: {why}; check its report, then "
            f"`decant promote {release}`"
        )


@flow(name="retrain", task_runner=threads(), persist_result=False)
def retrain(options: Options = DEFAULTS) -> Outcome:
    """Turn raw logs into a released family; only stale stages run.

    Raises:
        StageError: a stage ended with an error.
        NotReleasableError: the candidate failed the gate or is worse than production.
        PersonNeededError: the test window shows a sure loss, or the release in production is
            unreadable, so nothing was compared.
    """
    root = Path.cwd()
    with workspace(root, wait=deployment.id is not None) as run:
        params = load_params(root / "params.yaml")
        if trouble := registry_trouble(root, params):
            get_run_logger().warning(
                "the run continues, but publishing needs the registry: %s", trouble
            )
        for step in (raw, ingest, validate, features, segments, embed, teacher, knowledge):
            step(run)
        for wave in in_waves(params.students):
            each(distill, run, wave)
        shrink(run)
        each(compress, run, params.students)
        for step in (evaluate, gate, report, candidate):
            step(run)
        push_task(run)
        published = publish_task(root, params)
        if published.reasons:
            raise NotReleasableError(published.release, published.reasons)
        if not options.promote:
            return Outcome(published.release, None)
        if not published.promotable:
            raise PersonNeededError(published.release, published.review)
        channel = options.channel.value
        if reason := rolled_back(root, params, published.release, channel):
            return Outcome(published.release, None, reason)
        promote_task(root, params, published.release, channel, "retrain")
        return Outcome(published.release, channel)


def each(step: Task[..., StageResult], run: Run, students: Iterable[str]) -> list[StageResult]:
    """Run a step for several students in parallel; raise a failure after all have ended."""
    futures = [step.submit(run, student) for student in students]
    wait(futures)
    return [future.result() for future in futures]


def main(arguments: list[str] | None = None) -> int:
    """Command-line entry point."""
    parser = Parser(prog="python -m flows.retrain", description=ABOUT)
    parser.add_argument(
        "--no-promote", action="store_true", help="publish the release without moving a channel"
    )
    parser.add_argument(
        "--channel",
        choices=[c.value for c in Channel],
        default="production",
        help="the channel to point at the release; default: production",
    )
    given = parser.parse_args(arguments)
    options = Options(promote=not given.no_promote, channel=Channel(given.channel))
    root = Path.cwd()
    try:
        with temporary_server(meanwhile=workspace(root)):
            outcome = retrain(options)
    except NotReleasableError as error:
        print_outcome(root, f"candidate {error.release} (not published; production is unchanged)")
        raise
    place = f"on {outcome.channel}" if outcome.channel else "published, not promoted"
    print_outcome(root, f"release  {outcome.release} ({outcome.not_promoted or place})")
    return 0


if __name__ == "__main__":
    sys.exit(run_cli(main))
