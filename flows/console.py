"""Console output of the flow commands: one line per error, a table at the end."""

import json
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import httpx

from decant.lock import BusyError
from decant.terminal import print_what_can_be
from flows.log import speak_plainly
from tasks.runner.dvc_stages import ReportedError
from tasks.runner.step import explain

FAILED, MISTAKE = 1, 2
SCARCE = 1 << 20  # free bytes below which Prefect's database stops working


class RefusedError(ReportedError):
    """A run completed and its outcome is negative; the message says why."""


def run_cli(command: Callable[[], int]) -> int:
    """Run a command; errors of the user or of a stage become one line on stderr."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    print_what_can_be()
    speak_plainly()
    try:
        return command()
    except (BusyError, ValueError, OSError) as error:
        return print_error(error, MISTAKE)
    except ReportedError as error:
        return print_error(error, FAILED)
    except httpx.HTTPError as error:
        free = shutil.disk_usage(Path.cwd()).free
        full = f"the disk is full, {free:,} bytes free: make room" if free < SCARCE else ""
        lost = full or f"the Prefect server does not answer ({error})"
        return print_error(RuntimeError(f"{lost}; rerun the same command to resume"), FAILED)
    except KeyboardInterrupt:
        return print_error(RuntimeError("interrupted; rerun the same command to resume"), 130)


def print_error(error: BaseException, status: int) -> int:
    """Print the error in one line and return the exit status."""
    message = explain(error) if isinstance(error, ValueError | OSError) else str(error)
    print(f"decant: error: {' '.join(message.split())}", file=sys.stderr)
    return status


def print_outcome(root: Path, outcome: str) -> None:
    """Print the table of models, the outcome of the release and the path of the report."""
    from decant.report.console import table

    metrics, verdict = (
        json.loads((root / "data" / name).read_text(encoding="utf-8"))
        for name in ("evaluation/metrics.json", "gate/verdict.json")
    )
    print(table(metrics, verdict))
    print(outcome)
    print("report   data/report/index.html", flush=True)  # before an error that follows
