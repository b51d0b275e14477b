"""The frame of every step's program: settings, paths, errors, the summary.

A step is a function `run(workspace) -> summary`. It reads `workspace.input(…)`, writes into
`workspace.output(…)` and returns figures for people. Outputs are temporary folders that are renamed
when the step has succeeded, so that no partial output is ever visible.
"""

import argparse
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from decant.files import FOLDER, unusable, write_json
from decant.lock import only_program
from decant.params.load import Params, load_params
from decant.params.models import Training
from decant.starter import end_with_starter
from decant.terminal import print_what_can_be
from tasks.runner.input_guard import (
    InputChangedError,
    Signature,
    changed_settings,
    differing,
    signature,
)

Summary = dict[str, Any]
CHECKPOINTS = Path(".decant/checkpoints")
SUMMARY = "summary.json"
SUMMARY_PAGE = "summary.md"
USER_ERROR = 2
FIRST_SPEAKS = 3.0  # seconds that other ranks wait, so that the first reports the error
SIGNALLED = 128  # exit status of a process ended by a signal: this plus its number


@dataclass
class Workspace:
    """Paths (`root/data/<name>`) and settings of one step.

    `program`: the step's name in dvc.yaml. `rank`: number of this process in a distributed step;
    only rank 0 writes outputs.
    """

    root: Path
    params: Params
    student: str | None = None
    program: str | None = None
    rank: int = 0
    _inputs: dict[Path, Signature] = field(default_factory=dict)
    _outputs: dict[Path, Path] = field(default_factory=dict)
    _scratch: list[Path] = field(default_factory=list)

    def input(self, name: str) -> Path:
        """Folder or file of an earlier stage."""
        path = self.root / "data" / name
        if not path.exists():
            raise FileNotFoundError(f"data/{name} is missing: run the stage that makes it first")
        self._inputs.setdefault(path, signature(path))
        return path

    def check_unchanged(self) -> None:
        """Check that no input changed, since DVC records the current state as the one read.

        Raises:
            InputChangedError: an input or a setting of the step has changed.
        """
        changed = [
            (path / name).relative_to(self.root).as_posix()
            for path, before in self._inputs.items()
            for name in differing(before, signature(path))
        ]
        if self.program is not None:
            changed += changed_settings(self.root, self.program, self.params, self.student)
        if changed:
            raise InputChangedError(changed)

    def output(self, name: str) -> Path:
        """A new empty folder that becomes `data/<name>` when the step has succeeded."""
        final = self.root / "data" / name
        temporary = final.with_name(f".{final.name}.{self.rank or ''}tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        self._outputs[final] = temporary
        return temporary

    def scratch(self, name: str) -> Path:
        """A folder for the state of a long step, removed on `commit`.

        It is outside data/, because DVC removes a stage's outputs before it runs again.
        """
        folder = self.root / CHECKPOINTS / name
        self._scratch.append(folder)
        return folder

    def code(self) -> str:
        """Digest of the code of this step, empty if unknown."""
        path = self.root / "data" / "fingerprints" / f"{self.program}.txt"
        return path.read_text("utf-8").strip() if path.is_file() else ""

    def commit(self, summary: Summary, page: str | None = None) -> None:
        """Write the summary into the first output and give every output its final name.

        `page`: the summary in Markdown. A step without outputs writes nothing.
        """
        if self.rank:
            self.discard()
        if self.rank or not self._outputs:
            return
        first = next(iter(self._outputs.values()))
        if page is not None:
            (first / SUMMARY_PAGE).write_text(page.rstrip() + "\n", encoding="utf-8")
        write_json(first / SUMMARY, summary)
        for final, temporary in self._outputs.items():
            shutil.rmtree(final, ignore_errors=True)
            os.replace(temporary, final)
        for folder in self._scratch:
            shutil.rmtree(folder, ignore_errors=True)

    def discard(self) -> None:
        """Remove the outputs of a failed step."""
        for temporary in self._outputs.values():
            shutil.rmtree(temporary, ignore_errors=True)


def program(run: Callable[[Workspace], Summary], *, for_student: bool = False) -> None:
    """Command-line entry point of a step: `python -m tasks.NAME [STUDENT]`."""
    end_with_starter()
    print_what_can_be()
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    if for_student:
        parser.add_argument("student", help="name of a student in params.yaml")
    parser.add_argument("--root", type=Path, default=Path(), help="the project's folder")
    arguments = parser.parse_args()
    try:
        params = load_params(arguments.root / "params.yaml")
        name = Path(sys.argv[0]).stem
        spread(name, params)
        rank = int(os.environ.get("RANK", 0))
        workspace = Workspace(arguments.root, params, program=name, rank=rank)
        if for_student:
            workspace.student = known_student(arguments.student, workspace.params)
        with alone(workspace):
            run_step(run, workspace, getattr(sys.modules["__main__"], "describe", None))
    except (ValueError, OSError) as error:
        if int(os.environ.get("RANK", 0)):
            time.sleep(FIRST_SPEAKS)
        print(f"error: {explain(error)}", file=sys.stderr)
        sys.exit(USER_ERROR)


def alone(workspace: Workspace) -> AbstractContextManager[None]:
    """Lock the step's outputs against other programs; only rank 0 takes the lock."""
    if workspace.rank:
        return nullcontext()
    name = "@".join(filter(None, [workspace.program, workspace.student]))
    return only_program(workspace.root, name)


def spread(program: str, params: Params) -> None:
    """Restart as several processes if the settings of the training ask for it."""
    block = getattr(params, program, None)
    if isinstance(block, Training) and block.processes > 1 and "RANK" not in os.environ:
        together = ("--standalone", f"--nproc-per-node={block.processes}")
        os.environ.setdefault("OMP_NUM_THREADS", str(block.threads))
        sys.exit(run_together([*together, "-m", f"tasks.{program}", *sys.argv[1:]]))


def run_together(arguments: list[str]) -> int:
    """Run `torchrun`; return the exit status of the process that failed first."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError  # slow to import
    from torch.distributed.run import main as torchrun

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        torchrun(arguments)
    except ChildFailedError as failed:
        status = int(failed.get_first_failure()[1].exitcode)
        return status if status > 0 else SIGNALLED - status
    return 0


def run_step(
    run: Callable[[Workspace], Summary],
    workspace: Workspace,
    describe: Callable[[Summary], str] | None = None,
) -> Summary:
    """Run a step; its outputs appear all at once or not at all."""
    try:
        summary = run(workspace)
        workspace.check_unchanged()
        workspace.commit(summary, describe(summary) if describe else None)
    except BaseException:
        workspace.discard()
        raise
    return summary


def known_student(name: str, params: Params) -> str:
    """Return `name` if it is a student.

    Raises:
        ValueError: it is not.
    """
    if name not in params.students:
        raise ValueError(f"no student `{name}` in params.yaml; known: {', '.join(params.students)}")
    return name


def explain(error: ValueError | OSError) -> str:
    """An error in one line; for a file in .decant, with advice."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        if os.path.relpath(error.filename).startswith(f"{FOLDER}{os.sep}"):
            return str(unusable(Path(error.filename), error))
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
