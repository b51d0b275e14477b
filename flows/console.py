"""What the flows' commands print for people: one line for an error, a table at the end."""

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
SCARCE = 1 << 20  # free bytes with which Prefect's database cannot go on


class RefusedError(ReportedError):
    """A run came to its end, and its outcome is no; the message says why."""


def run_cli(command: Callable[[], int]) -> int:
    """Run a command; an error that is the user's or a stage's is one line on stderr."""
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
        full = f"the disk is full, {free:,} bytes are free: make room" if free < SCARCE else ""
        lost = full or f"the Prefect server does not answer ({error})"
        return print_error(RuntimeError(f"{lost}; the same command goes on from here"), FAILED)
    except KeyboardInterrupt:
        return print_error(RuntimeError("interrupted; the same command goes on from here"), 130)


def print_error(error: BaseException, status: int) -> int:
    """Print one line, return the exit status."""
    message = explain(error) if isinstance(error, ValueError | OSError) else str(error)
    print(f"decant: error: {' '.join(message.split())}", file=sys.stderr)
    return status


def print_outcome(root: Path, outcome: str) -> None:
    """The table of models, what became of the release, and where to look further."""
    from decant.report.console import table

    metrics, verdict = (
        json.loads((root / "data" / name).read_text(encoding="utf-8"))
        for name in ("evaluation/metrics.json", "gate/verdict.json")
    )
    print(table(metrics, verdict))
    print(outcome)
    print("report   data/report/index.html")
