"""Run mutations: each in a copy of the tree, with only the tests that must notice it."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

from tests.mutations.mutation import Mutation, mutated, problems
from tests.mutations.worker import run_tests

KILLED, SURVIVED, STALE = "killed", "survived", "stale"
BROKEN, TIMEOUT = "broken", "timeout"  # its tests cannot be collected; they take too long
PASSED, FAILED = 0, 1  # exit statuses of pytest
FAILURE = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
TAIL = 12  # lines of a failing run that are shown


@dataclass(frozen=True)
class Outcome:
    """What became of a mutation; `detail`: the test that noticed it, or why none could."""

    mutation: Mutation
    status: str
    detail: str


class NotPassingError(ValueError):
    """The tests fail without any mutation, so that their failures say nothing."""


def run_all(
    mutations: Sequence[Mutation], root: Path, *, jobs: int, seconds: float
) -> Iterator[Outcome]:
    """Run mutations, `jobs` at a time; yields each outcome as soon as it is known.

    Every worker has its own copy of the files that Git knows. The tests run there without any
    mutation first.

    Args:
        seconds: after which a mutation's tests are stopped.

    Raises:
        NotPassingError: the tests fail without a mutation.
    """
    fresh = []
    for mutation in mutations:
        if lines := problems([mutation], root):
            why = "; ".join(line.removeprefix(f"{mutation.name}: ") for line in lines)
            yield Outcome(mutation, STALE, why)
        else:
            fresh.append(mutation)
    if not fresh:
        return
    with copies(root, min(jobs, len(fresh))) as free, ThreadPoolExecutor(jobs) as pool:
        check_passing(fresh, free, pool, jobs)
        waiting = [pool.submit(run_in_free_copy, mutation, free, seconds) for mutation in fresh]
        try:
            for done in as_completed(waiting):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def copies(root: Path, count: int) -> Iterator["SimpleQueue[Path]"]:
    """Copies of the tree in temporary folders."""
    free: SimpleQueue[Path] = SimpleQueue()
    with TemporaryDirectory(prefix="mutations-") as folder:
        for number in range(count):
            copy = Path(folder) / str(number)
            copy_tree(root, copy)
            free.put(copy)
        yield free


def copy_tree(root: Path, destination: Path) -> None:
    """Copy the files that Git tracks or does not ignore, and compile them.

    The compiled modules carry a hash of their source: a time stamp would not tell two mutations
    of one second apart.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, listed):
        source, copy = root / name, destination / name
        if source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "."],
        cwd=destination, check=True,
    )  # fmt: skip


def check_passing(
    mutations: Sequence[Mutation],
    free: "SimpleQueue[Path]",
    pool: ThreadPoolExecutor,
    jobs: int,
) -> None:
    """Run the tests of all mutations on the unchanged code.

    Raises:
        NotPassingError: they fail.
    """
    places = sorted({place for mutation in mutations for place in mutation.tests})
    files = {place for place in places if "::" not in place}
    places = [place for place in places if place in files or place.partition("::")[0] not in files]
    parts = [part for number in range(jobs) if (part := places[number::jobs])]
    for status, output in pool.map(lambda part: run_in_free(part, free), parts):
        if status != PASSED:
            raise NotPassingError(f"tests fail without a mutation:\n{tail(output)}")


def run_in_free(places: Sequence[str], free: "SimpleQueue[Path]") -> tuple[int | None, str]:
    """Run tests in the next free copy."""
    copy = free.get()
    try:
        return run_tests(copy, places, None)
    finally:
        free.put(copy)


def run_in_free_copy(mutation: Mutation, free: "SimpleQueue[Path]", seconds: float) -> Outcome:
    """Run one mutation in the next free copy."""
    copy = free.get()
    try:
        return run_one(mutation, copy, seconds)
    finally:
        free.put(copy)


def run_one(mutation: Mutation, copy: Path, seconds: float) -> Outcome:
    """Apply a mutation to a copy, run its tests, and take it back."""
    path = copy / mutation.path
    content = path.read_text("utf-8")
    try:
        path.write_text(mutated(mutation, content), "utf-8")
        status, output = run_tests(copy, mutation.tests, seconds)
    finally:
        path.write_text(content, "utf-8")
    if status is None:
        return Outcome(mutation, TIMEOUT, f"its tests took more than {seconds:g} s")
    if status == PASSED:
        return Outcome(mutation, SURVIVED, mutation.harm)
    if status == FAILED:
        return Outcome(mutation, KILLED, first_failure(output))
    return Outcome(mutation, BROKEN, f"pytest ended with status {status}:\n{tail(output)}")


def first_failure(output: str) -> str:
    """The first test that failed, as pytest names it."""
    failed = FAILURE.search(output)
    return failed[1] if failed else tail(output)


def tail(output: str) -> str:
    """The last lines of a run."""
    return "\n".join(output.rstrip().splitlines()[-TAIL:])
