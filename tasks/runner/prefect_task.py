"""Steps as Prefect tasks, with their summaries as artifacts."""

import json
import logging
import re

import httpx
from prefect import Task, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from tasks.runner.dvc_stages import ReportedError, Run, StageResult
from tasks.runner.step import SUMMARY_PAGE


def stage(name: str) -> Task[..., StageResult]:
    """The Prefect task of a step; takes a `Run`, and a student if the step has one per student."""

    def bring_up_to_date(
        run: Run, student: str | None = None, *, force: bool = False
    ) -> StageResult:
        full = f"{name}@{student}" if student else name
        logger = get_run_logger()
        result = run.perform(full, logger.info, force=force)
        logger.info("%s in %.1f s", result.status, result.seconds)
        show(result)
        return result

    as_task = task(
        name=name, task_run_name=_task_run_name, persist_result=False, cache_policy=NO_CACHE
    )
    return as_task(bring_up_to_date)


@task(name="push", task_run_name="push", persist_result=False, cache_policy=NO_CACHE)
def push_task(run: Run) -> None:
    """`Run.push` as a Prefect task."""
    run.push(get_run_logger().info)


def show(result: StageResult) -> None:
    """Publish the stage's summary as an artifact."""
    create_markdown_artifact(
        key=re.sub(r"[^a-z0-9]+", "-", result.stage.lower()),
        markdown=page(result),
        description=f"{result.stage}: {result.status} in {result.seconds:.1f} s",
    )


def page(result: StageResult) -> str:
    """The summary in Markdown: the step's own page, else its figures."""
    for output in result.outputs:
        written = output / SUMMARY_PAGE
        if written.is_file():
            return written.read_text(encoding="utf-8")
    figures = json.dumps(result.summary, indent=2, ensure_ascii=False)
    return f"**{result.stage}**\n\n```json\n{figures}\n```\n"


# OSError: an environment problem; HTTPError: Prefect's server is down or its disk is full
SAYS_IT_ALL = (ReportedError, ValueError, OSError, httpx.HTTPError)


class OneLineErrors(logging.Filter):
    """Drops the stack trace of errors with a complete one-line message."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the record, drop its stack trace."""
        if record.exc_info and isinstance(record.exc_info[1], SAYS_IT_ALL):
            record.exc_info, record.exc_text = None, None
        return True


def _task_run_name() -> str:
    parameters = task_run.parameters
    student = parameters.get("student")
    name = str(task_run.task_name)
    return f"{name}@{student}" if student else name
