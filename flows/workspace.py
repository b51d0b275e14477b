"""The workspace of a run: its lock, the state of DVC's repository, stale stages."""

import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from prefect.task_runners import ThreadPoolTaskRunner

from decant.data.membership import check_rules
from decant.files import UnusableError, replace_file, unusable
from decant.lock import locked
from decant.params.effects import warnings_in
from decant.params.load import load_params
from decant.params.upgrade import missing_settings, settings_in_graph
from flows import end_with_server
from tasks import fingerprint
from tasks.runner.dvc_stages import Run, WorkspaceError, look
from tasks.runner.prefect_task import OneLineErrors

DVC_LOCKS = Path(".dvc/tmp/rwlock")
RECORD = "dvc.lock"
OWN_CONFIG = Path(".dvc/config.local")
_NO_GIT = "[core]\n    no_scm = true\n"
_STUDENT_STAGE = re.compile(rb"^  \w+@(?P<student>\w+):\n(?:    .*\n)*", re.MULTILINE)
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
_OPEN: dict[Path, Run] = {}

logger = logging.getLogger(__name__)


@contextmanager
def workspace(root: Path, *, wait: bool = False) -> Iterator[Run]:
    """Lock the workspace for one run and find stale stages; child processes end with the block.

    If this process holds the lock already, yields the same run.

    Raises:
        BusyError: another run holds the lock and `wait` is not set.
        WorkspaceError, ParamsError: the workspace or its settings are invalid.
        RuleError: a student's rule is wrong, can never match, or is shadowed by others.
    """
    if root in _OPEN:
        yield _OPEN[root]
        return
    end_with_server()
    quieten()
    with locked(root, wait=wait):
        params = load_params(root / "params.yaml")
        check_written(root)
        rules = check_rules(
            params.segments, params.ingest.missing, taste_groups=params.distill.taste_groups
        )
        for line in (*rules, *warnings_in(root, params)):
            logger.warning("%s", line)
        prepare(root)
        fingerprint.main(root)
        forget_students(root, list(params.students))
        run = _OPEN[root] = examine(root)
        try:
            yield run
        finally:
            del _OPEN[root]
            run.close()


def check_written(root: Path) -> None:
    """Check that params.yaml has every setting that a stage depends on: DVC has no defaults.

    Raises:
        WorkspaceError: one is missing, as in a params.yaml of an earlier version.
    """
    graph = root / "dvc.yaml"
    if not graph.is_file():
        return  # `prepare` reports it
    settings = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    missing = missing_settings(settings, settings_in_graph(graph))
    if missing:
        raise WorkspaceError(
            f"params.yaml lacks {', '.join(f'`{name}`' for name in missing)}, which dvc.yaml "
            "names: `decant configure --upgrade` adds missing settings with their defaults"
        )


def prepare(root: Path) -> None:
    """Prepare DVC: with Git in a Git checkout, else without.

    Raises:
        WorkspaceError: `root` is not the project's folder.
        UnusableError: an internal file of DVC cannot be used.
    """
    for name in ("dvc.yaml", ".dvc/config"):
        if not (root / name).is_file():
            raise WorkspaceError(f"{name} is missing in {root}: run from the project's folder")
    try:
        settle_git(root)
        release_dead_locks(root / DVC_LOCKS)
    except OSError as error:
        raise unusable(Path(error.filename), error) from None


def settle_git(root: Path) -> None:
    """Configure DVC to use Git or not, unless its local configuration says so."""
    own = root / OWN_CONFIG
    in_git = any((folder / ".git").exists() for folder in (root.resolve(), *root.resolve().parents))
    try:
        text = own.read_text(encoding="utf-8") if own.exists() else None
    except UnicodeDecodeError:
        raise UnusableError(own, "it is not text", "restore it, or move it away") from None
    if text is None and not in_git:
        own.write_text(_NO_GIT, encoding="utf-8")
    elif text == _NO_GIT and in_git:
        own.unlink()


def examine(root: Path) -> Run:
    """Call `look`; add advice to the error if DVC cannot read its record of the last run.

    Raises:
        WorkspaceError: dvc.yaml, params.yaml or dvc.lock cannot be read.
    """
    try:
        return look(root)
    except WorkspaceError as error:
        if RECORD not in str(error):
            raise
        raise WorkspaceError(
            f"{error}; remove {RECORD} and run again: results in DVC's cache are reused"
        ) from None


def release_dead_locks(path: Path) -> None:
    """Remove DVC's file of path locks if none of the processes named in it is running DVC.

    DVC identifies holders by process id and writes the file in place: after a power cut or in a
    restarted container the file can name an unrelated process or be truncated.
    """
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        entries = [*held["read"].values(), *([holder] for holder in held["write"].values())]
        pids = {int(holder["pid"]) for holders in entries for holder in holders}
    except (FileNotFoundError, *UNREADABLE):
        pids = set()
    if not any(_runs_dvc(pid) for pid in pids):
        path.unlink(missing_ok=True)


def forget_students(root: Path, students: list[str]) -> None:
    """Remove models and records of students no longer in params.yaml; DVC's cache keeps them.

    DVC leaves them in dvc.lock, which a release would then name as its own.
    """
    record = root / RECORD
    if record.is_file():
        before = record.read_bytes()  # a broken one is reported later
        after = _STUDENT_STAGE.sub(
            lambda stage: stage[0] if stage["student"].decode() in students else b"", before
        )
        if after != before:
            replace_file(record, after)
    for folder, kept in (
        ("models", {"teacher", fingerprint.SCRATCH.name, *students}),
        ("compressed", set(students)),
        ("training", {"teacher", *students}),
    ):
        for path in (root / "data" / folder).glob("*"):
            if path.name not in kept:
                shutil.rmtree(path)


def threads() -> Any:
    """A runner of as many tasks at a time as there are cores; each stage is a process."""
    return ThreadPoolTaskRunner(max_workers=os.cpu_count() or 1)


def quieten() -> None:
    """Log errors with a complete one-line message without their stack trace."""
    for name in ("prefect.task_runs", "prefect.flow_runs"):
        of_runs = logging.getLogger(name)
        if not any(isinstance(known, OneLineErrors) for known in of_runs.filters):
            of_runs.addFilter(OneLineErrors())


def _runs_dvc(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return sys.platform != "linux" and _exists(pid)
    return b"dvc" in command


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
