"""`kill -9` of a run at any instant, at each stage, and during a publication."""

import json
import os
import random
import shutil
import time
from pathlib import Path
from typing import Literal

from benchmarks.harness.checkout import Clone, Ended, Running
from benchmarks.system.survival import POLL, Delay, Faults, Undisturbed, after_kill, outcome_of

SEED = 0
ATTEMPTS = 5  # to hit a window of milliseconds
INSTANTS = 6  # kills at any instant of a run
STARTUP = 8.0  # seconds: imports, Prefect's server, DVC's status
AT_STARTUP = 6  # kills during startup
KILLED = -9  # exit status after SIGKILL
Victim = Literal["flow", "program"]


class Instants:
    """Kills of runs at random instants; `drawn`: seconds from the start of the run to each kill.

    The same command is repeated after each kill. If a run completes before its instant, it is
    checked, and a new one starts from scratch. `seconds`: duration of a whole run.
    """

    def __init__(self, fresh: Clone, done: Undisturbed, faults: Faults) -> None:
        self.fresh, self.done, self.faults = fresh, done, faults
        self.seconds = done.seconds
        self.drawn: list[float] = []
        self._rounds = 0
        self._begin()

    def kill(self) -> None:
        """Kill as often as planned, early instants first; then let the run complete."""
        rng = random.Random(SEED)
        while len(self.drawn) < AT_STARTUP + INSTANTS:
            instant = self._draw(rng)
            run = self.shop.start("-m", "flows.retrain")
            if killed_after(run, instant):
                self.drawn.append(instant)
                self.faults.log(f"killed the flow after {instant:.2f} s")
                name = f"killed.anywhere.{len(self.drawn)}"
                self._open[name] = after_kill(self.shop, self.done)
            else:
                ended = run.end()
                if not self._open:
                    self.seconds = min(self.seconds, ended.seconds)
                self._conclude(ended)
                self._begin()
        self._conclude(self.shop.flow())

    def _draw(self, rng: random.Random) -> float:
        """The next instant, one in each equal part, first of the startup, then of a run."""
        early = len(self.drawn) < AT_STARTUP
        part = len(self.drawn) - (0 if early else AT_STARTUP)
        length = STARTUP / AT_STARTUP if early else self.seconds / INSTANTS
        return rng.uniform(part * length, (part + 1) * length)

    def _begin(self) -> None:
        self._rounds += 1
        self.shop = self.fresh.copy(f"anywhere-{self._rounds}")
        self._open: dict[str, list[str]] = {}

    def _conclude(self, ended: Ended) -> None:
        last = outcome_of(self.shop, ended, self.done)
        for name, problems in self._open.items():
            self.faults.add(name, [*problems, *last])


def killed_after(run: Running, seconds: float) -> bool:
    """Kill a run `seconds` after its start; return False if it had ended before."""
    while not run.over() and time.monotonic() - run.began < seconds:
        time.sleep(0.0005)
    if run.over():
        return False
    run.kill()
    return run.end().status == KILLED


def kill_one_by_one(shop: Clone, victim: Victim, done: Undisturbed, faults: Faults) -> None:
    """Kill a run at each stage in turn, repeating the same command each time."""
    delay = done.early(random.Random(SEED))
    struck: dict[str, list[str]] = {}
    while True:
        run = shop.start("-m", "flows.retrain")
        now = strike(shop, run, victim, set(struck), delay)
        ended = run.end()
        if not now:
            break
        problems = after_strike(shop, ended, victim, done)
        for name in now:
            struck[name] = problems
        faults.log(f"killed the {victim} at {', '.join(now)}")
    last = outcome_of(shop, ended, done)
    for name in sorted(done.stages):
        problems = struck[name] if name in struck else strike_again(shop, name, victim, done)
        faults.add(f"killed.{victim}.{name}", [*problems, *last])


def strike_again(shop: Clone, stage: str, victim: Victim, done: Undisturbed) -> list[str]:
    """Kill a run of one stage whose program ended too soon in the full run."""
    others, rng = done.stages - {stage}, random.Random(SEED)
    for attempt in range(ATTEMPTS):
        run = shop.start("-m", "flows.rerun", stage)
        struck = strike(shop, run, victim, others, done.early(rng, 2.0**-attempt))
        ended = run.end()
        if struck:
            problems = after_strike(shop, ended, victim, done)
            return [*problems, *outcome_of(shop, shop.flow(), done)]
    return ["its program was never seen running"]


def after_strike(shop: Clone, ended: Ended, victim: Victim, done: Undisturbed) -> list[str]:
    """Problems after a kill; a flow whose program was killed has to report it."""
    silent = victim == "program" and not ended.error_line()
    return [*after_kill(shop, done), *([f"no clear line: {ended.error}"] if silent else [])]


def strike(shop: Clone, run: Running, victim: Victim, spared: set[str], delay: Delay) -> list[str]:
    """Kill the flow at the first stage not `spared`, or the program of each such stage.

    Returns:
        The stages whose program was running at the kill; none if the run completed.
    """
    struck: list[str] = []
    while not run.over():
        for stage, pid in shop.programs().items():
            if stage in spared or stage in struck:
                continue
            time.sleep(delay(stage))
            if shop.programs().get(stage) != pid:
                continue  # the program ended first, before or after DVC saved its outputs
            if victim == "flow":
                run.kill()
                return [stage]
            kill(pid)
            struck.append(stage)
        time.sleep(POLL)
    return struck


def kill(pid: int) -> None:
    """Send SIGKILL to a process, if it still exists."""
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return


def kill_publication(done: Undisturbed, faults: Faults) -> None:
    """Kill the flow between the first and the last file of a release, and before the swap."""
    releases = Path("registry/releases")
    manifest = releases / done.release / "manifest.json"
    pointer = Path("registry/channels/production.json")
    for name, begun, over in (("publish", releases, manifest), ("promote", manifest, pointer)):
        shop = done.shop.copy(name)
        if not killed_between(shop, begun, over):
            faults.add(f"killed.flow.{name}", ["the kill never came at the right moment"])
            continue
        problems = after_kill(shop, done)
        known = shop.decant("releases", "--json")
        visible = [row["id"] for row in json.loads(known.output)] if not known.status else None
        if visible != ([] if name == "publish" else [done.release]):
            problems.append(f"decant releases: {known.error}")
        faults.add(f"killed.flow.{name}", [*problems, *outcome_of(shop, shop.flow(), done)])


def killed_between(shop: Clone, begun: Path, over: Path) -> bool:
    """Kill a run when `begun` exists and `over` does not; return whether this is so afterwards."""
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
