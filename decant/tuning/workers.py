"""Trials in processes of their own: both ends of the pipe between a search and its workers.

A line is one JSON document. To the worker goes its job once, then an order for each trial;
after each epoch it is told whether to go on. A worker ends when the search does, however that
ends: its input is closed then, and on Linux it is killed, its imports included.
"""

import io
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from decant.starter import signature

OnEpoch = Callable[[int, int, float], bool]  # fold, epoch, value -> whether to go on
Report = Callable[[int, int, float], None]
Evaluate = Callable[[dict[str, Any], Report], dict[str, Any]]
LOST = 3  # exit status of a worker whose search is gone


class WorkerLost(RuntimeError):
    """A worker ended in the middle of a trial; `log` is where its last words are."""

    def __init__(self, status: int, log: Path) -> None:
        self.status, self.log = status, log
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        super().__init__(f"its process ended {how}, see {log}")


class Stopped(Exception):
    """The search has seen enough of this trial."""


class Worker:
    """A process that makes one trial after another; started when first needed."""

    def __init__(self, command: Sequence[str], job: Mapping[str, Any], root: Path, log: Path):
        self.command, self.job, self.root, self.log = command, job, root, log
        self._process: subprocess.Popen[str] | None = None

    def make(self, order: Mapping[str, Any], on_epoch: OnEpoch) -> dict[str, Any]:
        """Have one trial made: `{"done": …}`, `{"stopped": True}`, `{"failed": why}`, or
        `{"hindered": why}` by a full disk or the like.

        Raises:
            WorkerLost: the process ended; the next call starts another.
        """
        process = self._running()
        try:
            self._send(order)
            while True:
                assert process.stdout is not None
                line = process.stdout.readline()
                if not line.endswith("\n"):
                    raise BrokenPipeError
                answer: dict[str, Any] = json.loads(line)
                if "epoch" not in answer:
                    return answer
                self._send({"go": on_epoch(*answer["epoch"])})
        except BrokenPipeError:
            status = process.wait()
            self.close()
            raise WorkerLost(status, self.log) from None

    def kill(self) -> None:
        """End the process from another thread; `make` raises WorkerLost then."""
        if (process := self._process) is not None:
            process.kill()

    def close(self) -> None:
        """End the process; the next trial starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with suppress(BrokenPipeError):
                    pipe.close()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("wb") as errors:
                self._process = subprocess.Popen(
                    list(self.command),
                    cwd=self.root,
                    env={**os.environ, **signature(), "OMP_WAIT_POLICY": _waiting()},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    bufsize=1,
                    start_new_session=True,  # Ctrl-C is for the search alone
                )
            self._send(self.job)
        return self._process

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()


def answer(prepare: Callable[[dict[str, Any]], Evaluate]) -> None:
    """Be a worker: read the job, prepare for it, make the trials that are ordered.

    A ValueError of a trial is an answer (it has failed), so is an OSError (the trial has not been
    made), any other ends the process.
    """
    output = _own_output()
    orders = _follow(sys.stdin)
    job = orders.get()
    evaluate: Evaluate | None = None

    def say(message: Mapping[str, Any]) -> None:
        output.write(json.dumps(message) + "\n")
        output.flush()

    def report(fold: int, epoch: int, value: float) -> None:
        say({"epoch": [fold, epoch, value]})
        if not orders.get()["go"]:
            raise Stopped

    while True:
        order = orders.get()
        try:
            evaluate = evaluate or prepare(job)
            say({"done": evaluate(order, report)})
        except Stopped:
            say({"stopped": True})
        except ValueError as error:
            say({"failed": in_one_line(error)})
        except OSError as error:
            say({"hindered": in_one_line(error)})


def in_one_line(error: Exception) -> str:
    """What an error says."""
    return " ".join(str(error).split()) or type(error).__name__


def _own_output() -> TextIO:
    """The pipe to the search; what libraries print goes to the log instead."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # this process is killed, not ended
    return pipe


def _follow(source: TextIO) -> "queue.Queue[dict[str, Any]]":
    """Lines of the search as they come; where they end, this process ends too."""
    lines: queue.Queue[dict[str, Any]] = queue.Queue()

    def read() -> None:
        for line in source:
            lines.put(json.loads(line))
        os._exit(LOST)

    threading.Thread(target=read, daemon=True).start()
    return lines


def _waiting() -> str:
    # threads that wait actively slow each other down where processes outnumber cores
    return os.environ.get("OMP_WAIT_POLICY", "PASSIVE")
