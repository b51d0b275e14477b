"""One run in one workspace: asks DVC for stale stages and lets it bring them up to date.

Only DVC caches; each DVC command is a child process.
"""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.runner.dvc_output import (
    NOISE,
    Status,
    explain_status,
    failure_reason,
    only_edited,
    outcome,
    some,
)
from tasks.runner.process import kill, lines, start_child
from tasks.runner.step import SUMMARY

Emit = Callable[[str], None]
FINGERPRINT = "fingerprint"  # always stale, since the flow itself writes it
KEEPS_EDITS = "raw"  # its output is the user's to edit


@dataclass(frozen=True)
class StageResult:
    """Outcome of one stage: figures and paths, never data."""

    stage: str
    status: Status
    seconds: float
    summary: Mapping[str, Any]
    outputs: tuple[Path, ...]


class ReportedError(RuntimeError):
    """An error with a complete one-line message, shown without a stack trace."""


class StageError(ReportedError):
    """A stage failed; `reason` is its error in one line."""

    def __init__(self, stage: str, reason: str) -> None:
        self.stage, self.reason = stage, reason
        super().__init__(f"{stage}: {reason}")


class WorkspaceError(ValueError):
    """The workspace is unusable; the message says why."""


class Run:
    """One run of a flow in one workspace, with its stale stages and the results so far."""

    def __init__(self, root: Path, state: Mapping[str, Any]) -> None:
        self.root = root
        self.stages: dict[str, dict[str, Any]] = state["stages"]
        self.stale: dict[str, Any] = {k: v for k, v in state["stale"].items() if k != FINGERPRINT}
        self.remote: str | None = state.get("remote")
        self.results: dict[str, StageResult] = {}
        self._children: set[subprocess.Popen[bytes]] = set()
        self._closed = False
        self._mutex = threading.Lock()

    def upstream(self, stage: str) -> list[str]:
        """Stages with outputs that `stage` reads."""
        deps = self.stages[stage]["deps"]
        return [
            name
            for name, other in self.stages.items()
            if name != stage and any(_overlap(dep, out) for dep in deps for out in other["outs"])
        ]

    def downstream(self, stage: str) -> list[str]:
        """Stages that depend on `stage`, transitively, in topological order."""
        below = {stage}
        order: list[str] = []
        waiting = [name for name in self.stages if name not in (stage, FINGERPRINT)]
        while ready := [n for n in waiting if below & set(self.upstream(n))]:
            below |= set(ready)
            waiting = [n for n in waiting if n not in below]
        while len(order) < len(below) - 1:
            done = {stage, *order}
            order += [
                name
                for name in self.stages
                if name in below - done and not (below & set(self.upstream(name))) - done
            ]
        return order

    def reason(self, stage: str) -> str | None:
        """Why `stage` may have to run, None if it is up to date."""
        if stage in self.stale:
            known = self.stages[stage]["known"]
            return f"stale: {explain_status(self.stale[stage])}" if known else "never run"
        again = [
            name
            for name in self.upstream(stage)
            if name in self.results and self.results[name].status != "skipped"
        ]
        return f"checking, since {some(again)} ran" if again else None

    def perform(self, stage: str, emit: Emit, *, force: bool = False) -> StageResult:
        """Bring one stage up to date in a child process.

        Raises:
            StageError: its program or DVC failed.
        """
        began = time.monotonic()
        status: Status = "skipped"
        reason = "forced" if force else self.reason(stage)
        if reason is None:
            emit("up to date")
        elif not force and stage == KEEPS_EDITS and only_edited(self.stale.get(stage)):
            emit("accepting edits in " + ", ".join(self.stages[stage]["outs"]))
            self._dvc(stage, ["commit", "--force", stage], emit)
            status = "accepted"
        else:
            emit(reason)
            flags = ["--single-item", *(["--force"] if force else [])]
            status = outcome(self._dvc(stage, ["repro", *flags, stage], emit))
        outputs = tuple(self.root / out for out in self.stages[stage]["outs"])
        result = StageResult(
            stage, status, time.monotonic() - began, read_summary(outputs), outputs
        )
        self.results[stage] = result
        return result

    def push(self, emit: Emit) -> None:
        """Copy the stages' outputs to DVC's default remote, if one is set.

        Raises:
            StageError: the remote cannot be written to.
        """
        if self.remote is None:
            emit("no DVC remote is set: the data stays in this folder's cache")
            return
        self._dvc("push", ["push"], emit)

    def close(self) -> None:
        """Kill running children and refuse new ones."""
        with self._mutex:
            self._closed = True
            for child in self._children:
                kill(child)

    def _dvc(self, stage: str, arguments: list[str], emit: Emit) -> list[str]:
        """Run DVC and return the output of it and of the stage, by line."""
        output: list[str] = []
        with self._mutex:
            if self._closed:
                raise StageError(stage, "the run has ended")
            child = start_child(self.root, "dvc", "--wait-for-lock", *arguments)
            self._children.add(child)
        try:
            assert child.stdout is not None
            for line in lines(child.stdout.fileno()):
                output.append(line)
                if not NOISE.match(line):
                    emit(line)
            code = child.wait()
        finally:
            kill(child)
            with self._mutex:
                self._children.discard(child)
        if code:
            raise StageError(stage, failure_reason(output, code))
        return output


def look(root: Path) -> Run:
    """Ask DVC, in a child process, for the graph and the stale stages.

    Raises:
        WorkspaceError: dvc.yaml or params.yaml cannot be read.
    """
    child = start_child(root, "state", stderr=subprocess.PIPE)
    try:
        out, err = child.communicate()
    finally:
        kill(child)
    if child.returncode:
        raise WorkspaceError(
            failure_reason(err.decode(errors="replace").splitlines(), child.returncode)
        )
    return Run(root, json.loads(out.decode().splitlines()[-1]))


def read_summary(outputs: tuple[Path, ...]) -> dict[str, Any]:
    """The summary that a step wrote, empty if there is none."""
    for output in outputs:
        path = output / SUMMARY
        if path.is_file():
            summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return summary
    return {}


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(other + os.sep) or other.startswith(one + os.sep)
