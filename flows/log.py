"""Console log of a run: a line per stage, and each error once.

Prefect's server receives every record unchanged; only the console format differs.
"""

import copy
import logging

from prefect.logging.handlers import PrefectConsoleHandler

UP_TO_DATE = "up to date"  # logged before a stage's result, which repeats it
TOLD_BESIDE = ("Beginning flow run ", "Finished in state ", "ERROR: failed to reproduce ")
TOLD_AT_THE_END = ("Task run failed with exception: ", "Encountered exception during execution: ")


class Line(logging.Formatter):
    """Formats a record as `03:00:12 teacher: epoch 1/6: loss 5.1`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(speaker)s: %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Format the line, followed by the stack trace if the record has one."""
        shown = copy.copy(record)  # other handlers need the original
        level = "" if record.levelno <= logging.INFO else f" {record.levelname.lower()}"
        shown.__dict__["speaker"] = speaker(record) + level
        if record.args and isinstance(record.args, tuple) and record.args[0] == "skipped":
            shown.msg, shown.args = UP_TO_DATE, None
        return super().format(shown)


def speaker(record: logging.LogRecord) -> str:
    """Source of a record: the stage with its student, else the flow, else the logger."""
    fields = record.__dict__
    task, run = fields.get("task_name"), fields.get("task_run_name")
    if task and run:
        return str(
            task if run.startswith(f"{task}-") else run
        )  # Prefect's default name: `push-1a2`
    return str(fields.get("flow_name") or record.name)


def is_news(record: logging.LogRecord) -> bool:
    """Whether a record holds information that no other line has."""
    text = record.getMessage()
    if text.startswith(TOLD_AT_THE_END):
        return record.exc_info is not None  # unexpected errors keep their stack trace
    return text != UP_TO_DATE and not text.startswith(TOLD_BESIDE)


def speak_plainly() -> None:
    """Make Prefect's console handlers print these lines only."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, PrefectConsoleHandler):
            handler.setFormatter(Line())
            handler.addFilter(is_news)
