"""A clone of the project in a separate folder, with its commands as child processes.

Linux only: processes of a clone are identified in /proc by an environment variable.
"""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import yaml

from decant.release.provenance import git
from decant.starter import tied

MARKER = "DECANT_BENCH"
LEFT_OUT = re.compile(r"GIT_|PREFECT_|DECANT_|PYTHONPATH$|AWS_")  # not passed on to commands
PATIENCE = 2.0  # seconds for killed processes to disappear
TIME_IS_UP = 124  # exit status, as of `timeout`
TIMEOUT = 3600.0  # seconds for any command
BEFORE_TEST = {
    "raw",
    "ingest",
    "validate",
    "features",
    "segments",
    "embed",
    "teacher",
    "knowledge",
    "distill",
    "compress",
}  # stages that do not know the test window
Shown = Callable[[str], bool]
_SPOKEN = re.compile(r"^\S+ (?P<stage>\w+)(?:@\w+)?(?: \w+)?: ")  # a line of a flow
_DONE = re.compile(r"^\S+ ([\w@-]+): (ran|restored|accepted) in ", re.MULTILINE)


class CloneError(ValueError):
    """The project cannot be cloned; the message says why."""


@dataclass(frozen=True)
class Ended:
    """A finished command: status, output and duration."""

    status: int
    output: str
    seconds: float

    @property
    def error(self) -> str:
        """The status and the error line, or else the last line."""
        lines = self.output.strip().splitlines() or [""]
        errors = [line for line in lines if line.startswith("decant: error: ")]
        return f"status {self.status}, {(errors or lines)[-1]}"

    def error_line(self) -> str | None:
        """The error line of a failed command; None unless there is exactly one and no traceback."""
        lines = [line for line in self.output.splitlines() if line.startswith("decant: error: ")]
        one = self.status != 0 and len(lines) == 1 and "Traceback" not in self.output
        return lines[0] if one else None

    def stages(self, *kinds: str) -> set[str]:
        """The stages that a flow reports as `ran`, `restored` or `accepted`."""
        return {name for name, kind in _DONE.findall(self.output) if kind in kinds}


@dataclass
class Running:
    """A running command."""

    process: subprocess.Popen[bytes]
    log: Path
    began: float = field(default_factory=time.monotonic)

    def over(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None

    def kill(self) -> None:
        """Send SIGKILL to its first process only, not to descendants."""
        self.process.kill()

    def end(self) -> Ended:
        """Wait for the command to end."""
        try:
            status = self.process.wait(TIMEOUT)
        finally:
            self.process.kill()
        output = self.log.read_text(encoding="utf-8", errors="replace")
        return Ended(status, output, time.monotonic() - self.began)


def silent_on_test(line: str) -> bool:
    """Whether a line of a flow says nothing of the test window: that is, whether it is one of a
    stage before `evaluate`, the end of any stage, or an error that is not the gate's."""
    if line.startswith("decant: error: "):
        return not line.startswith("decant: error: candidate ")
    spoken = _SPOKEN.match(line)
    return spoken is not None and (spoken["stage"] in BEFORE_TEST or _DONE.match(line) is not None)


def copy_lines(source: IO[bytes], shown: Shown) -> None:
    """Copy the lines of a command's output that are `shown` to stderr."""
    for raw in source:
        line = raw.decode(errors="replace").rstrip()
        if shown(line):
            print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Clone:
    """A clone of the project; `environment`: additional variables for its commands.

    The output of commands is written beside the clone, or into the folder `logs`.
    """

    root: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    logs: Path | None = None

    def start(self, *arguments: str) -> Running:
        """Start `python ARGUMENTS` in the clone, with this interpreter and the clone's code."""
        log = (self.logs or self.root.parent) / f"{self.root.name}.{time.monotonic_ns()}.log"
        with log.open("wb") as sink:
            process = self._popen(arguments, sink)
        return Running(process, log)

    def show(
        self, *arguments: str, minutes: float | None = None, shown: Shown | None = None
    ) -> int:
        """Run `python ARGUMENTS` with output on stderr for at most `minutes`; return its status,
        or `TIME_IS_UP` if it was killed.

        Args:
            shown: whether a line of the output is shown; None: all are.
        """
        sink = sys.stderr if shown is None else subprocess.PIPE
        with self._popen(arguments, sink) as process:
            pass_on = threading.Thread(target=copy_lines, args=(process.stdout, shown), daemon=True)
            if shown is not None:
                pass_on.start()
            try:
                return process.wait(None if minutes is None else 60 * minutes)
            except subprocess.TimeoutExpired:
                return TIME_IS_UP
            finally:
                process.kill()
                if shown is not None:
                    pass_on.join(PATIENCE)

    def _popen(self, arguments: Sequence[str], sink: IO[Any] | int) -> subprocess.Popen[bytes]:
        kept = {name: v for name, v in os.environ.items() if not LEFT_OUT.match(name)}
        path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
        return subprocess.Popen(
            tied([sys.executable, *arguments]),
            cwd=self.root,
            env={**kept, "PATH": path, MARKER: str(self.root), **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )

    def run(self, *arguments: str) -> Ended:
        """Run `python ARGUMENTS` to its end."""
        return self.start(*arguments).end()

    def flow(self, name: str = "retrain", *arguments: str) -> Ended:
        """Run a flow to its end."""
        return self.run("-m", f"flows.{name}", *arguments)

    def decant(self, *arguments: str) -> Ended:
        """Run a `decant` command to its end."""
        return self.run("-m", "decant", *arguments)

    def copy(self, name: str) -> "Clone":
        """A copy of the clone with all its outputs, in a folder beside it."""
        root = self.root.parent / name
        shutil.copytree(self.root, root, symlinks=True)
        return Clone(root, self.environment)

    def read(self, place: str) -> Any:
        """The content of a YAML or JSON file."""
        return yaml.safe_load((self.root / place).read_text(encoding="utf-8"))

    def candidate(self) -> str | None:
        """Id of the candidate, None if there is none."""
        if not (self.root / "data/candidate/candidate.json").is_file():
            return None
        return str(self.read("data/candidate/candidate.json")["id"])

    def processes(self) -> dict[int, list[str]]:
        """Running processes of the clone: process id -> command line."""
        mark = f"{MARKER}={self.root}".encode()
        commands = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
                    commands[int(folder.name)] = words[:-1]
            except OSError:
                continue  # it has ended, or belongs to another user
        return {pid: words for pid, words in commands.items() if words}

    def programs(self) -> dict[str, int]:
        """The stages whose program is running: name -> process id."""
        return {stage: pid for pid, words in self.processes().items() if (stage := stage_of(words))}

    def left_behind(self) -> list[str]:
        """Command lines of processes that do not end within `PATIENCE` seconds."""
        deadline = time.monotonic() + PATIENCE
        while (remaining := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return [" ".join(words) for words in remaining.values()]


def stage_of(words: list[str]) -> str | None:
    """The stage of a program's command line, such as `python -m tasks.distill women`."""
    if len(words) < 3 or words[1] != "-m" or not words[2].startswith("tasks."):
        return None
    name = words[2].removeprefix("tasks.")
    return None if name.startswith("runner.") else "@".join([name, *words[3:4]])


def clone(project: Path, root: Path) -> Clone:
    """Clone the committed state of `project` into the new folder `root`.

    Raises:
        CloneError: there is no commit, or this is not Linux.
    """
    if not Path("/proc/self/environ").is_file():
        raise CloneError("benchmarks need Linux: they look up processes in /proc")
    commit_of(project)
    done = subprocess.run(
        ["git", "clone", "--quiet", "--no-hardlinks", str(project), str(root)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CloneError(f"git clone: {done.stderr.strip()}")
    return Clone(root)


def renewed(project: Path, root: Path) -> Clone:
    """The clone in `root`, updated to the committed state of `project`; created if missing.

    Outputs of stages are kept: stages run again only if something changed.
    """
    if not (root / ".git").is_dir():
        shutil.rmtree(root, ignore_errors=True)
        root.parent.mkdir(parents=True, exist_ok=True)
        return clone(project, root)
    commit = commit_of(project)
    for step in (
        ("fetch", "--quiet", str(project), commit),
        ("reset", "--hard", "--quiet", commit),
    ):
        done = subprocess.run(["git", *step], cwd=root, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CloneError(f"{root}: git {step[0]}: {done.stderr.strip()}")
    return Clone(root)


def commit_of(root: Path) -> str:
    """The commit to measure.

    Raises:
        CloneError: there is no commit.
    """
    if not (root / "dvc.yaml").is_file():
        raise CloneError(f"dvc.yaml is missing in {root}: run from the project's folder")
    commit = (git(root, "rev-parse", "HEAD") or "").strip()
    if not commit:
        raise CloneError(f"{root} has no commit: benchmarks measure the committed state")
    return commit


def uncommitted(root: Path) -> list[str]:
    """Code and settings files that differ from the commit."""
    watched = ("decant", "tasks", "flows", "benchmarks", "*.yaml")
    changed = git(root, "status", "--porcelain", "--", *watched) or ""
    return [line[3:] for line in changed.splitlines()]
