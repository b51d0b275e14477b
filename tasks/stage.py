"""A step as a Prefect task: starts its DVC stage in a child process if it is stale.

The one place that knows both Prefect and DVC. DVC alone caches; Prefect only orders and shows.
"""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
from prefect import Task, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from tasks.program import SUMMARY, SUMMARY_PAGE

Status = Literal["ran", "restored", "accepted", "skipped"]
Emit = Callable[[str], None]

FINGERPRINT = "fingerprint"  # always stale by design, written by the flow itself
KEEPS_EDITS = "raw"  # its output is the user's to edit
PROGRESS_EVERY = 10.0  # seconds between two lines of one progress bar
_NOISE = re.compile(
    r"^(> |Updating lock file|Generating lock file|To track the changes|To enable auto staging"
    r"|Data and pipelines are up to date|Use `dvc push`|\s*git add |\s*dvc config |$)"
)
_DVC_ERROR = re.compile(r"^ERROR: (?:failed to reproduce '[^']*': )?(.*)")


@dataclass(frozen=True)
class StageResult:
    """What one stage did: figures and paths, never data."""

    stage: str
    status: Status
    seconds: float
    summary: Mapping[str, Any]
    outputs: tuple[Path, ...]


class Told(RuntimeError):
    """An error whose message says it all, in one line."""


class StageFailed(Told):
    """A stage ended with an error; `reason` is its last word, in one line."""

    def __init__(self, stage: str, reason: str) -> None:
        self.stage, self.reason = stage, reason
        super().__init__(f"{stage}: {reason}")


class WorkspaceError(ValueError):
    """The workspace cannot be worked in; the message says why."""


class Run:
    """One run of a flow in one workspace: what is stale, what has been made again so far."""

    def __init__(self, root: Path, state: Mapping[str, Any]) -> None:
        self.root = root
        self.stages: dict[str, dict[str, list[str]]] = state["stages"]
        self.stale: dict[str, Any] = {k: v for k, v in state["stale"].items() if k != FINGERPRINT}
        self.remote: str | None = state.get("remote")
        self.results: dict[str, StageResult] = {}
        self._children: set[subprocess.Popen[bytes]] = set()
        self._closed = False
        self._mutex = threading.Lock()

    def upstream(self, stage: str) -> list[str]:
        """Stages that make what `stage` reads."""
        deps = self.stages[stage]["deps"]
        return [
            name
            for name, other in self.stages.items()
            if name != stage and any(_overlap(dep, out) for dep in deps for out in other["outs"])
        ]

    def downstream(self, stage: str) -> list[str]:
        """Stages that read what `stage` makes, directly or not, in an order that can be run."""
        below = {stage}
        order: list[str] = []
        waiting = [name for name in self.stages if name not in (stage, FINGERPRINT)]
        while found := [n for n in waiting if below & set(self.upstream(n))]:
            below |= set(found)
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
        """Why `stage` has to be looked at now, None if it need not."""
        if stage in self.stale:
            return explain_status(self.stale[stage])
        again = [
            name
            for name in self.upstream(stage)
            if name in self.results and self.results[name].status != "skipped"
        ]
        return f"made anew: {some(again)}" if again else None

    def perform(self, stage: str, emit: Emit, *, force: bool = False) -> StageResult:
        """Bring one stage up to date in a child process.

        Raises:
            StageFailed: its program or DVC ended with an error.
        """
        began = time.monotonic()
        status: Status = "skipped"
        reason = "forced" if force else self.reason(stage)
        if reason is None:
            emit("up to date")
        elif not force and stage == KEEPS_EDITS and _only_edited(self.stale.get(stage)):
            emit("taking over what was edited in " + ", ".join(self.stages[stage]["outs"]))
            self._dvc(stage, ["commit", "--force", stage], emit)
            status = "accepted"
        else:
            emit(reason if force else f"stale: {reason}")
            flags = ["--single-item", *(["--force"] if force else [])]
            status = outcome(self._dvc(stage, ["repro", *flags, stage], emit))
        outputs = tuple(self.root / out for out in self.stages[stage]["outs"])
        result = StageResult(
            stage, status, time.monotonic() - began, read_summary(outputs), outputs
        )
        self.results[stage] = result
        return result

    def push(self, emit: Emit) -> None:
        """Copy what the stages have made to DVC's default remote, where there is one.

        Raises:
            StageFailed: the remote cannot be written to.
        """
        if self.remote is None:
            emit("no DVC remote is set: the data stays in this folder's cache")
            return
        self._dvc("push", ["push"], emit)

    def close(self) -> None:
        """Kill what still runs; nothing can be started any more."""
        with self._mutex:
            self._closed = True
            for child in self._children:
                kill(child)

    def _dvc(self, stage: str, arguments: list[str], emit: Emit) -> list[str]:
        """Run DVC and return what it and the stage said, line by line."""
        said: list[str] = []
        with self._mutex:
            if self._closed:
                raise StageFailed(stage, "the run has ended")
            child = start_child(self.root, "dvc", "--wait-for-lock", *arguments)
            self._children.add(child)
        try:
            assert child.stdout is not None
            for line in lines(child.stdout.fileno()):
                said.append(line)
                if not _NOISE.match(line):
                    emit(line)
            code = child.wait()
        finally:
            kill(child)
            with self._mutex:
                self._children.discard(child)
        if code:
            raise StageFailed(stage, last_word(said, code))
        return said


def stage(name: str) -> Task[..., StageResult]:
    """The Prefect task of a step; call it with a `Run`, and a student where there is one each."""

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


@task(name="push", persist_result=False, cache_policy=NO_CACHE)
def push_task(run: Run) -> None:
    """`Run.push` as a Prefect task: the bytes that a release can be traced back to."""
    run.push(get_run_logger().info)


def show(result: StageResult) -> None:
    """Publish the stage's summary as an artifact."""
    create_markdown_artifact(
        key=re.sub(r"[^a-z0-9]+", "-", result.stage.lower()),
        markdown=page(result),
        description=f"{result.stage}: {result.status} in {result.seconds:.1f} s",
    )


def page(result: StageResult) -> str:
    """The summary for people: the text that the step wrote, else its figures."""
    for output in result.outputs:
        written = output / SUMMARY_PAGE
        if written.is_file():
            return written.read_text(encoding="utf-8")
    figures = json.dumps(result.summary, indent=2, ensure_ascii=False)
    return f"**{result.stage}**\n\n```json\n{figures}\n```\n"


def look(root: Path) -> Run:
    """Ask DVC, in a child process, for the graph and for what is stale.

    Raises:
        WorkspaceError: dvc.yaml or params.yaml cannot be read.
    """
    child = start_child(root, "state", stderr=subprocess.PIPE)
    try:
        out, err = child.communicate()
    finally:
        kill(child)
    if child.returncode:
        raise WorkspaceError(last_word(err.decode(errors="replace").splitlines(), child.returncode))
    return Run(root, json.loads(out.decode().splitlines()[-1]))


def start_child(
    root: Path, *command: str, stderr: int = subprocess.STDOUT
) -> subprocess.Popen[bytes]:
    """Start `python -m tasks.child`; it ends with the thread that calls this, so wait for it."""
    code = str(Path(__file__).resolve().parents[1])
    environment = {
        **os.environ,
        "DVC_NO_ANALYTICS": "1",
        # threads that wait actively slow each other down where processes outnumber cores
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH", "")])),
        "PYTHONUNBUFFERED": "1",
        "SHELL": "/bin/sh",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "tasks.child", str(os.getpid()), *command],
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
    )


def kill(child: subprocess.Popen[bytes]) -> None:
    """End a child and all that it has started; one that has ended is only waited for."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    if child.stdout is not None:
        child.stdout.close()
    if child.stderr is not None:
        child.stderr.close()


def lines(descriptor: int) -> Iterator[str]:
    """Lines of a stream as they come; a bar that rewrites its line gives one now and then."""
    pending = b""
    shown = 0.0
    while chunk := os.read(descriptor, 65536):
        *complete, pending = re.split(rb"(?<=[\r\n])", pending + chunk)
        for raw in complete:
            text = raw.decode(errors="replace").rstrip()
            if raw.endswith(b"\r"):
                if not text or time.monotonic() - shown < PROGRESS_EVERY:
                    continue
                shown = time.monotonic()
            if text:
                yield text
    if pending.strip():
        yield pending.decode(errors="replace").rstrip()


def outcome(said: list[str]) -> Status:
    """What DVC says it did."""
    text = "\n".join(said)
    if re.search(r"^Running stage '", text, re.MULTILINE):
        return "ran"
    if "is cached - skipping run" in text:
        return "restored"
    return "skipped" if "didn't change, skipping" in text else "ran"


def last_word(said: list[str], code: int) -> str:
    """Why a child failed, in one line: its own `error:` line before an exception before DVC's."""
    errors = [line[len("error: ") :] for line in said if line.startswith("error: ")]
    if errors:
        return errors[-1]
    own = [line for line in said if not _DVC_ERROR.match(line) and not _NOISE.match(line)]
    if any(line.startswith("Traceback ") for line in own):
        return own[-1]
    dvc = [match[1] for line in said if (match := _DVC_ERROR.match(line))]
    if dvc:
        return explain_exit(dvc[0])
    return explain_exit(f"exited with {code}")


def explain_exit(text: str) -> str:
    """Name the signal where only its number is given."""
    found = re.search(r"exited with (-?\d+)$", text)
    code = int(found[1]) if found else 0
    number = -code if code < 0 else code - 128  # a shell adds 128
    if found is None or number not in set(signal.Signals):
        return text
    return f"{text[: found.start()]}killed by {signal.Signals(number).name}"


def explain_status(changes: Any) -> str:
    """DVC's status of one stage in one line."""
    parts: list[str] = []
    for change in changes:
        if isinstance(change, str):
            parts.append(change)
            continue
        for kind, what in change.items():
            label = {"changed deps": "", "changed outs": "output "}.get(kind, f"{kind} ")
            parts += [label + item for item in _changed(what)]
    return some(parts)


def some(names: list[str], shown: int = 4) -> str:
    """The first few names, and how many more there are."""
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")


def read_summary(outputs: tuple[Path, ...]) -> dict[str, Any]:
    """Figures that the step wrote last, empty if it wrote none."""
    for output in outputs:
        path = output / SUMMARY
        if path.is_file():
            summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return summary
    return {}


SAYS_IT_ALL = (Told, ValueError, httpx.HTTPError)  # the last: Prefect's server is gone, or its disk


class OneLineErrors(logging.Filter):
    """Leaves out the stack of errors whose message says it all."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the record, drop the stack."""
        if record.exc_info and isinstance(record.exc_info[1], SAYS_IT_ALL):
            record.exc_info, record.exc_text = None, None
        return True


def _task_run_name() -> str:
    parameters = task_run.parameters
    student = parameters.get("student")
    name = str(task_run.task_name)
    return f"{name}@{student}" if student else name


def _only_edited(changes: Any) -> bool:
    if changes is None or not all(isinstance(change, dict) for change in changes):
        return False
    if {kind for change in changes for kind in change} != {"changed outs"}:
        return False
    ways = {way for change in changes for what in change.values() for way in what.values()}
    return ways == {"modified"}


def _changed(what: Any) -> list[str]:
    if not isinstance(what, dict):
        return [str(what)]
    found: list[str] = []
    for name, how in what.items():
        found.append(f"{', '.join(how)} in {name}" if isinstance(how, dict) else f"{name} {how}")
    return found


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(other + os.sep) or other.startswith(one + os.sep)
