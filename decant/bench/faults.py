"""What a run survives: `kill -9` at every stage, a full disk, a damaged release.

A run is killed, its command is given again and killed at the next stage, and so on until it gets
through: then its release must be that of an undisturbed run.
"""

import json
import os
import random
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from decant.bench.clone import Clone, Ended, Running
from decant.bench.results import Outcome
from decant.bench.shop import (
    CHANGES,
    Lock,
    ShopError,
    change_params,
    describe,
    lock_of,
    production,
    release_of,
)

SEED = 0
LONGEST_DELAY = 0.5  # seconds between the start of a stage's program and the kill
QUICK = {"candidate": 0.05}  # the same where the program is over before that
POLL = 0.02  # seconds between two looks at /proc
ATTEMPTS = 5  # to strike in a window of milliseconds
KEY = {"DECANT_PSEUDONYM_KEY": "faults" * 8}  # one for all clones: files can be compared
FREE = 100_000  # bytes that a nearly full disk has left
LONGEST_FILE = 1000  # bytes of a file that a stage may write when it is not to
LIMITED = ("features", "teacher", "evaluate")
USER = json.dumps({"age": 28, "gender": "F"})
Victim = Literal["flow", "program"]
Say = Callable[[str], None]


class Faults:
    """The faults so far: name -> what went wrong after it, nothing if it was survived."""

    def __init__(self, say: Say) -> None:
        self.found: dict[str, list[str]] = {}
        self.say = say

    def add(self, name: str, problems: list[str]) -> None:
        """Write down a fault, or more problems of one."""
        self.found.setdefault(name, []).extend(problems)
        self.say(f"{name}: {'; '.join(problems) or 'survived'}")

    def into(self, outcome: Outcome) -> None:
        """Write the figures."""
        for name, problems in self.found.items():
            outcome.holds(f"fault.{name}", not problems, "; ".join(problems))
        survived = sum(not problems for problems in self.found.values())
        outcome.measured("faults", len(self.found))
        outcome.measured("survived", survived, len(self.found))


class Undisturbed:
    """A run that nothing happened to: its workspace, release, and files by stage."""

    def __init__(self, shop: Clone) -> None:
        self.shop = shop
        self.release = release_of(shop.flow(), shop)
        self.lock: Lock = lock_of(shop)

    @property
    def stages(self) -> set[str]:
        """Every stage's name."""
        return set(self.lock)

    def half_written(self, shop: Clone) -> list[str]:
        """Outputs in another workspace that are there, but not with all their files."""
        places = [out["path"] for stage in self.lock.values() for out in stage["outs"]]
        return [
            f"{place} is half-written"
            for place in places
            if (shop.root / place).exists() and files(shop, place) != files(self.shop, place)
        ]


def bench(project: Clone, say: Say) -> Outcome:
    """Run every fault."""
    project = Clone(project.root, KEY)
    change_params(project, CHANGES)
    fresh = project.copy("flow")
    programs = project.copy("program")
    disk = project.copy("disk")
    say("an undisturbed run")
    done = Undisturbed(project)
    faults = Faults(say)
    kill_one_by_one(fresh, "flow", done, faults)
    kill_one_by_one(programs, "program", done, faults)
    kill_publication(done, faults)
    limit_files(done, faults)
    second_run(done, faults)
    tamper(done, faults)
    could_fill = os.geteuid() == 0
    if could_fill:
        fill_disk(disk, done, faults)
    outcome = Outcome(protocol(could_fill), [SEED])
    faults.into(outcome)
    return outcome


def protocol(could_fill: bool) -> dict[str, str]:
    """How it is done, for people."""
    return {
        "shop": describe(),
        "killed.flow": "SIGKILL to the flow's process while the stage's program runs; its children "
        "must end of themselves",
        "killed.program": "SIGKILL to the stage's program alone; the flow must end with one line",
        "after each kill": "no process left, no output half-written, `decant status` answers; "
        "then the same command again, killed at the next stage; the run that gets through must "
        "give the release of an undisturbed run",
        "limit": "a stage may not write a file longer than a kilobyte: one line, and the next run "
        "gives the same release",
        "disk": "the whole workspace on a small file system that is full"
        if could_fill
        else "left out: only root can mount a small file system",
        "tampered": "one byte of a released model changed: neither promoted nor served",
    }


def kill_one_by_one(shop: Clone, victim: Victim, done: Undisturbed, faults: Faults) -> None:
    """Kill a run at each stage in turn, each time giving the same command again."""
    rng = random.Random(SEED)
    struck: dict[str, list[str]] = {}
    while True:
        run = shop.start("-m", "flows.retrain")
        now = strike(shop, run, victim, set(struck), rng)
        ended = run.end()
        if not now:
            break
        problems = after_kill(shop, done)
        if victim == "program" and not ended.complaint():
            problems.append(f"no clear line: {ended.error}")
        for name in now:
            struck[name] = problems
        faults.say(f"killed the {victim} at {', '.join(now)}")
    last = outcome_of(shop, ended, done)
    for name in sorted(done.stages):
        problems = struck.get(name, ["it was never seen running"])
        faults.add(f"killed.{victim}.{name}", [*problems, *last])


def strike(
    shop: Clone, run: Running, victim: Victim, spared: set[str], rng: random.Random
) -> list[str]:
    """Kill the flow at the first stage not `spared`, or the program of each such stage.

    Returns:
        The stages whose program ran when the kill came; none if the run came through.
    """
    struck: list[str] = []
    while not run.over():
        for stage, pid in shop.programs().items():
            if stage in spared or stage in struck:
                continue
            time.sleep(rng.uniform(0, QUICK.get(stage, LONGEST_DELAY)))
            if shop.programs().get(stage) != pid:
                continue  # it was faster; DVC has not taken its output over, or it runs no more
            if victim == "flow":
                run.kill()
                return [stage]
            kill(pid)
            struck.append(stage)
        time.sleep(POLL)
    return struck


def kill(pid: int) -> None:
    """SIGKILL to one process, if it is still there."""
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return


def after_kill(shop: Clone, done: Undisturbed) -> list[str]:
    """What is wrong with a workspace right after a kill."""
    left = [f"left behind: {words}" for words in shop.left_behind()]
    status = shop.decant("status")
    refused = [f"decant status: {status.error}"] if status.status else []
    return [*left, *done.half_written(shop), *refused]


def outcome_of(shop: Clone, ended: Ended, done: Undisturbed) -> list[str]:
    """What is wrong after the run that got through."""
    if ended.status:
        return [f"the same command again: {ended.error}"]
    problems = [f"left behind: {words}" for words in shop.left_behind()]
    if shop.candidate() != done.release:
        problems.append(f"release {shop.candidate()}, undisturbed {done.release}")
    if production(shop) != done.release:
        problems.append(f"production points at {production(shop)}")
    problems += [f"{path.name} was left" for path in (shop.root / "data").rglob(".*.tmp")]
    return [*problems, *done.half_written(shop)]


def kill_publication(done: Undisturbed, faults: Faults) -> None:
    """Kill the flow between the first and the last file of a release, and before the swap."""
    releases = Path("registry/releases")
    manifest = releases / done.release / "manifest.json"
    pointer = Path("registry/channels/production.json")
    for name, begun, over in (("publish", releases, manifest), ("promote", manifest, pointer)):
        shop = done.shop.copy(name)
        if not killed_between(shop, begun, over):
            faults.add(f"killed.flow.{name}", ["it was never caught in the middle"])
            continue
        problems = after_kill(shop, done)
        known = shop.decant("releases", "--json")
        visible = [row["id"] for row in json.loads(known.said)] if not known.status else None
        if visible != ([] if name == "publish" else [done.release]):
            problems.append(f"decant releases: {known.error}")
        faults.add(f"killed.flow.{name}", [*problems, *outcome_of(shop, shop.flow(), done)])


def killed_between(shop: Clone, begun: Path, over: Path) -> bool:
    """Kill a run when `begun` is there and `over` is not; is it really so when it is dead?"""
    for _ in range(ATTEMPTS):
        shutil.rmtree(shop.root / "registry", ignore_errors=True)
        run = shop.start("-m", "flows.retrain")
        while not run.over() and not (shop.root / begun).exists():
            time.sleep(0.0005)
        run.kill()
        run.end()
        if (shop.root / begun).exists() and not (shop.root / over).exists():
            return True
    return False


def limit_files(done: Undisturbed, faults: Faults) -> None:
    """Let a stage write no file of a useful size: the error of a write that fails."""
    for stage in LIMITED:
        shop = done.shop.copy(f"limited-{stage}")
        run = shop.start("-m", "flows.rerun", stage)
        while not run.over() and stage not in shop.programs():
            time.sleep(POLL)
        for pid in [pid for name, pid in shop.programs().items() if name == stage]:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (LONGEST_FILE, LONGEST_FILE))
        ended = run.end()
        problems = [] if ended.complaint() else [f"no clear line: {ended.error}"]
        problems += after_kill(shop, done)
        faults.add(f"limit.{stage}", [*problems, *outcome_of(shop, shop.flow(), done)])


def second_run(done: Undisturbed, faults: Faults) -> None:
    """Start a run while one is under way."""
    shop = done.shop.copy("second")
    first = shop.start("-m", "flows.rerun", "evaluate")
    while not first.over() and "evaluate" not in shop.programs():
        time.sleep(POLL)
    second = shop.flow()
    problems = [] if "a run is under way" in (second.complaint() or "") else [second.error]
    ended = first.end()
    problems += [f"the first run: {ended.error}"] if ended.status else []
    faults.add("second_run", [*problems, *outcome_of(shop, shop.flow(), done)])


def tamper(done: Undisturbed, faults: Faults) -> None:
    """Change one byte of a released model; ask for a release that is not there."""
    shop = done.shop.copy("tampered")
    folder = shop.root / "registry/releases" / done.release
    model = folder / "students/general/model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    asked = ("recommend", "--user", USER, "--history", "i000012")
    commands = {
        "tampered.promote": ("promote", done.release, "--channel", "canary"),
        "tampered.recommend": asked,
        "missing.promote": ("promote", "ffffffffffffffff"),
    }
    for name, command in commands.items():
        faults.add(name, refused(shop.decant(*command)))
    shutil.rmtree(folder)
    faults.add("missing.recommend", refused(shop.decant(*asked)))


def refused(ended: Ended) -> list[str]:
    """What is wrong with how a command refused."""
    return [] if ended.complaint() else [f"not refused in one line: {ended.error}"]


def fill_disk(shop: Clone, done: Undisturbed, faults: Faults) -> None:
    """Let the disk run full during a run, then make room."""
    place = shop.root.with_name("small")
    with small_disk(place) as resize:
        small = Clone(place / "project", KEY, logs=place.parent)
        shutil.copytree(shop.root, small.root, symlinks=True)
        resize(used(place) + FREE + 6_000_000)  # Prefect's database of a run takes 6 MB
        ended = small.flow()
        problems = [] if ended.complaint() else [f"no clear line: {ended.error}"]
        problems += [f"left behind: {words}" for words in small.left_behind()]
        resize(used(place) + 200_000_000)
        faults.add("disk.full", [*problems, *outcome_of(small, small.flow(), done)])


@contextmanager
def small_disk(place: Path) -> Iterator[Callable[[int], None]]:
    """Mount a file system in memory at `place`; gives a function that sets its size in bytes.

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


def files(shop: Clone, place: str) -> list[str]:
    """Names of the files of an output, sorted."""
    root = shop.root / place
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
