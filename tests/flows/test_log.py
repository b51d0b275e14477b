"""The console has one line a stage, whoever speaks is named, an error is told once."""

import logging
import sys
from typing import Any

import pytest

from flows.log import Line, is_news, speaker

STAGE = {"task_name": "distill", "task_run_name": "distill@women", "flow_name": "retrain"}
PUSH = {"task_name": "push", "task_run_name": "push-1a2", "flow_name": "retrain"}
FLOW = {"flow_name": "retrain", "flow_run_name": "courageous-bloodhound"}


def record(
    text: str, *arguments: Any, level: int = logging.INFO, stack: Any = None, **extra: str
) -> logging.LogRecord:
    made = logging.LogRecord("prefect.task_runs", level, "", 1, text, arguments, stack)
    made.__dict__.update(extra)
    return made


@pytest.mark.parametrize(
    ("extra", "name"),
    [(STAGE, "distill@women"), (PUSH, "push"), (FLOW, "retrain"), ({}, "prefect.task_runs")],
)
def test_whoever_speaks_is_named_as_people_know_it(extra: dict[str, str], name: str) -> None:
    assert speaker(record("x", **extra)) == name


def test_a_line_has_the_time_the_stage_and_what_is_said() -> None:
    line = Line().format(record("%s in %.1f s", "ran", 2.0, **STAGE))
    assert line[2::3][:2] == "::"
    assert line[8:] == " distill@women: ran in 2.0 s"
    wrong = Line().format(record("careful", level=logging.WARNING, **STAGE))
    assert wrong[8:] == " distill@women warning: careful"


def test_a_stage_that_is_up_to_date_is_one_line() -> None:
    said = [
        record("up to date", **STAGE),
        record("%s in %.1f s", "skipped", 0.0, **STAGE),
        record("Finished in state Completed()", **STAGE),
    ]
    lines = [Line().format(one)[9:] for one in said if is_news(one)]
    assert lines == ["distill@women: up to date"]
    assert said[1].getMessage() == "skipped in 0.0 s"  # as the server is told


def test_an_error_that_is_told_at_the_end_is_not_told_before() -> None:
    for text in ("Task run failed with exception: x", "Encountered exception during execution: x"):
        assert not is_news(record(text, level=logging.ERROR, **STAGE))


def test_an_error_of_ours_is_shown_with_its_stack() -> None:
    try:
        raise KeyError("missing")
    except KeyError:
        one = record("Task run failed with exception: x", stack=sys.exc_info(), **STAGE)
    assert is_news(one)
    assert "Traceback" in Line().format(one)
