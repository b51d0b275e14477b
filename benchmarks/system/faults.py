"""Fault tolerance of runs: `kill -9` at any instant, a full disk, a damaged release.

A run is killed, and its command repeated and killed at the next stage, or at another instant, until
a run completes: then its release must equal that of an undisturbed run.
"""

import json
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness.checkout import PATIENCE, Clone, Ended
from benchmarks.harness.demo_workspace import CHANGES, ShopError, change_params, describe
from benchmarks.system.kills import (
    AT_STARTUP,
    INSTANTS,
    SEED,
    STARTUP,
    Instants,
    kill_one_by_one,
    kill_publication,
)
from benchmarks.system.survival import POLL, Faults, Log, Undisturbed, after_kill, outcome_of
from decant.report.results import Outcome

KEY = {"DECANT_PSEUDONYM_KEY": "faults" * 8}  # shared by all clones, so that files can be compared
FREE = 100_000  # bytes free on a nearly full disk
LONGEST_FILE = 1000  # bytes, limit of a stage's files that makes its writes fail
LIMITED = ("features", "teacher", "evaluate")
USER = json.dumps({"age": 28, "gender": "F"})


def bench(project: Clone, log: Log) -> Outcome:
    """Run every fault."""
    project = Clone(project.root, KEY)
    change_params(project, CHANGES)
    fresh = project.copy("flow")
    programs = project.copy("program")
    disk = project.copy("disk")
    log("undisturbed run")
    done = Undisturbed(project)
    faults = Faults(log)
    instants = Instants(fresh, done, faults)
    instants.kill()
    kill_one_by_one(fresh, "flow", done, faults)
    kill_one_by_one(programs, "program", done, faults)
    kill_publication(done, faults)
    limit_files(done, faults)
    second_run(done, faults)
    tamper(done, faults)
    could_fill = os.geteuid() == 0
    if could_fill:
        fill_disk(disk, done, faults)
    outcome = Outcome(protocol(could_fill, instants.seconds, instants.drawn), [SEED])
    faults.into(outcome)
    return outcome


def protocol(could_fill: bool, seconds: float, drawn: list[float]) -> dict[str, str]:
    """Description of the protocol."""
    return {
        "shop": describe(),
        "killed.anywhere": f"SIGKILL to the flow's process at {INSTANTS} random instants, one in "
        f"each equal part, over the {seconds:.0f} s of an undisturbed run, and {AT_STARTUP} "
        f"over its first {STARTUP:g} s: after {', '.join(f'{instant:.2f}' for instant in drawn)} s",
        "killed.flow": "the same within the first second of the stage's program, from the moment "
        "its process exists; its children must end automatically",
        "killed.program": "SIGKILL only to the stage's program, within its first second; the flow "
        "must end with one error line",
        "after each kill": f"no process left after {PATIENCE:g} s, less than the next run takes to "
        "start a program; no partial outputs; `decant status` works; then the same command again, "
        "killed at the next stage; the run that completes must give the release of an undisturbed "
        "run",
        "limit": "a stage cannot write files over a kilobyte: one error line, and the next run "
        "gives the same release",
        "disk": "the whole workspace on a small, full file system"
        if could_fill
        else "skipped: only root can mount a small file system",
        "tampered": "one byte of a released model changed: neither promoted nor served",
    }


def limit_files(done: Undisturbed, faults: Faults) -> None:
    """Limit the file size of a stage, so that its writes fail."""
    for stage in LIMITED:
        shop = done.shop.copy(f"limited-{stage}")
        run = shop.start("-m", "flows.rerun", stage)
        while not run.over() and stage not in shop.programs():
            time.sleep(POLL)
        for pid in [pid for name, pid in shop.programs().items() if name == stage]:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (LONGEST_FILE, LONGEST_FILE))
        ended = run.end()
        problems = [] if ended.error_line() else [f"no clear line: {ended.error}"]
        problems += after_kill(shop, done)
        faults.add(f"limit.{stage}", [*problems, *outcome_of(shop, shop.flow(), done)])


def second_run(done: Undisturbed, faults: Faults) -> None:
    """Start a run while another is in progress."""
    shop = done.shop.copy("second")
    first = shop.start("-m", "flows.rerun", "evaluate")
    while not first.over() and "evaluate" not in shop.programs():
        time.sleep(POLL)
    second = shop.flow()
    problems = [] if "a run is under way" in (second.error_line() or "") else [second.error]
    ended = first.end()
    problems += [f"the first run: {ended.error}"] if ended.status else []
    faults.add("second_run", [*problems, *outcome_of(shop, shop.flow(), done)])


def tamper(done: Undisturbed, faults: Faults) -> None:
    """Change one byte of a released model; request a missing release."""
    shop = done.shop.copy("tampered")
    folder = shop.root / "registry/releases" / done.release
    model = folder / "students/general/model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    recommend = ("recommend", "--user", USER, "--history", "i000012")
    commands = {
        "tampered.promote": ("promote", done.release, "--channel", "canary"),
        "tampered.recommend": recommend,
        "missing.promote": ("promote", "ffffffffffffffff"),
    }
    for name, command in commands.items():
        faults.add(name, refused(shop.decant(*command)))
    shutil.rmtree(folder)
    faults.add("missing.recommend", refused(shop.decant(*recommend)))


def refused(ended: Ended) -> list[str]:
    """Problems with the refusal of a command."""
    return [] if ended.error_line() else [f"not refused in one line: {ended.error}"]


def fill_disk(shop: Clone, done: Undisturbed, faults: Faults) -> None:
    """Fill the disk during a run, then make room."""
    place = shop.root.with_name("small")
    with small_disk(place) as resize:
        small = Clone(place / "project", KEY, logs=place.parent)
        shutil.copytree(shop.root, small.root, symlinks=True)
        resize(used(place) + FREE + 6_000_000)  # Prefect's database of a run takes 6 MB
        ended = small.flow()
        problems = [] if ended.error_line() else [f"no clear line: {ended.error}"]
        problems += [f"left behind: {words}" for words in small.left_behind()]
        resize(used(place) + 200_000_000)
        faults.add("disk.full", [*problems, *outcome_of(small, small.flow(), done)])


@contextmanager
def small_disk(place: Path) -> Iterator[Callable[[int], None]]:
    """Mount a file system in memory at `place`; yield a function that sets its size in bytes.

    Raises:
        ShopError: it cannot be mounted.
    """

    def mount(options: str) -> None:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ShopError(f"mount: {done.stderr.strip()}")

    place.mkdir()
    mount("size=200m")
    try:
        yield lambda size: mount(f"remount,size={size}")
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def used(place: Path) -> int:
    """Bytes in use on the file system of `place`."""
    return shutil.disk_usage(place).used
