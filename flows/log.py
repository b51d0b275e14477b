"""What a run says on the console: a line for each stage, and each error once.

Prefect's server is told everything, in Prefect's words; only the console is spoken to differently.
"""

import copy
import logging

from prefect.logging.handlers import PrefectConsoleHandler

UP_TO_DATE = "up to date"  # said before a stage's result, which says it again
TOLD_BESIDE = ("Beginning flow run ", "Finished in state ", "ERROR: failed to reproduce ")
TOLD_AT_THE_END = ("Task run failed with exception: ", "Encountered exception during execution: ")


class Line(logging.Formatter):
    """A record as `03:00:12 teacher: epoch 1/6: loss 5.1`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(speaker)s: %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """The line, with the stack of an error that needs it below."""
        shown = copy.copy(record)  # other handlers get it as it was
        level = "" if record.levelno <= logging.INFO else f" {record.levelname.lower()}"
        shown.__dict__["speaker"] = speaker(record) + level
        if record.args and isinstance(record.args, tuple) and record.args[0] == "skipped":
            shown.msg, shown.args = UP_TO_DATE, None
        return super().format(shown)


def speaker(record: logging.LogRecord) -> str:
    """Who says it: the stage with its student, the flow, or else the logger."""
    fields = record.__dict__
    task, run = fields.get("task_name"), fields.get("task_run_name")
    if task and run:
        return str(task if run.startswith(f"{task}-") else run)  # Prefect's own: `push-1a2`
    return str(fields.get("flow_name") or record.name)


def is_news(record: logging.LogRecord) -> bool:
    """Whether a person learns something by it that no other line says."""
    text = record.getMessage()
    if text.startswith(TOLD_AT_THE_END):
        return record.exc_info is not None  # the stack is left only where the message is no help
    return text != UP_TO_DATE and not text.startswith(TOLD_BESIDE)


def speak_plainly() -> None:
    """Let Prefect's console handlers print such lines."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, PrefectConsoleHandler):
            handler.setFormatter(Line())
            handler.addFilter(is_news)
