"""Checks after a fault, against an undisturbed run."""

import random
import time
from collections.abc import Callable

from benchmarks.harness.checkout import Clone, Ended, Running
from benchmarks.harness.demo_workspace import Lock, lock_of, production, release_of
from decant.report.results import Outcome

FIRST = 1.0  # seconds from the start of a stage's program in which it is killed, during its imports
PART = 0.8  # share of a shorter program
POLL = 0.005  # seconds between checks of /proc
Log = Callable[[str], None]
Delay = Callable[[str], float]  # stage -> seconds between the start of its program and the kill


class Faults:
    """The faults so far, with the problems after each; none if it was survived."""

    def __init__(self, log: Log) -> None:
        self.found: dict[str, list[str]] = {}
        self.log = log

    def add(self, name: str, problems: list[str]) -> None:
        """Record a fault, or more problems of one."""
        self.found.setdefault(name, []).extend(problems)
        self.log(f"{name}: {'; '.join(problems) or 'survived'}")

    def into(self, outcome: Outcome) -> None:
        """Add the figures to an outcome."""
        for name, problems in self.found.items():
            outcome.holds(f"fault.{name}", not problems, "; ".join(problems))
        survived = sum(not problems for problems in self.found.values())
        outcome.measured("faults", len(self.found))
        outcome.measured("survived", survived, len(self.found))


class Undisturbed:
    """A run without faults: its workspace, release, dvc.lock and durations.

    `lasted`: duration of each stage's program in seconds.
    """

    def __init__(self, shop: Clone) -> None:
        self.shop = shop
        run = shop.start("-m", "flows.retrain")
        self.lasted = watch(shop, run)
        ended = run.end()
        self.seconds = ended.seconds
        self.release = release_of(ended, shop)
        self.lock: Lock = lock_of(shop)

    @property
    def stages(self) -> set[str]:
        """Names of all stages."""
        return set(self.lock)

    def half_written(self, shop: Clone) -> list[str]:
        """Outputs of another workspace that exist, but with other files than here."""
        places = [out["path"] for stage in self.lock.values() for out in stage["outs"]]
        return [
            f"{place} is incomplete"
            for place in places
            if (shop.root / place).exists() and files(shop, place) != files(self.shop, place)
        ]

    def early(self, rng: random.Random, part: float = PART) -> Delay:
        """Random delays within the first second of a stage's program, or `part` of a short one."""
        return lambda stage: rng.uniform(0, min(FIRST, part * self.lasted.get(stage, 0.0)))


def watch(shop: Clone, run: Running) -> dict[str, float]:
    """Observe a run to its end; return the duration of each stage's program in seconds."""
    seen: dict[str, tuple[float, float]] = {}
    while not run.over():
        now = time.monotonic()
        seen |= {stage: (seen.get(stage, (now,))[0], now) for stage in shop.programs()}
        time.sleep(POLL)
    return {stage: last - first for stage, (first, last) in seen.items()}


def after_kill(shop: Clone, done: Undisturbed) -> list[str]:
    """Problems of a workspace right after a kill."""
    processes = [f"left behind: {words}" for words in shop.left_behind()]
    status = shop.decant("status")
    refused = [f"decant status: {status.error}"] if status.status else []
    return [*processes, *done.half_written(shop), *refused]


def outcome_of(shop: Clone, ended: Ended, done: Undisturbed) -> list[str]:
    """Problems after the run that completed."""
    if ended.status:
        return [f"the same command again: {ended.error}"]
    problems = [f"left behind: {words}" for words in shop.left_behind()]
    if shop.candidate() != done.release:
        problems.append(f"release {shop.candidate()}, undisturbed {done.release}")
    if production(shop) != done.release:
        problems.append(f"production points at {production(shop)}")
    problems += [f"{path.name} was left" for path in (shop.root / "data").rglob(".*.tmp")]
    return [*problems, *done.half_written(shop)]


def files(shop: Clone, place: str) -> list[str]:
    """Names of the files of an output, sorted."""
    root = shop.root / place
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
