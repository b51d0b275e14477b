"""What `decant configure` proposes for a team's own events, from what is in them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from decant.columns import Columns
from decant.data.sources.layout import Files
from decant.data.sources.notes import Notes
from decant.data.sources.own_events import read_events
from decant.params.data import Ingest
from decant.params.edit import Settings
from decant.params.types import EXPERTS, REPEATS

REPEATED = 0.05  # share of events on an item that the user took before, from which they matter
TOGETHER = 0.2  # share of events that share their moment with another one of the user
CASES, MORE_CASES = 4, 20  # evaluated of each user
LATEST = 0.1  # share of the events in a window of a split by time
FEWEST = 500  # users in a window, with events before it: fewer leave a gate unsure
# experts that know what follows: a chain adds nothing to those of baskets
OF_BASKETS, OF_EVENTS = ("basket", "previous", "together"), ("chain", "together")
POPULARITY = EXPERTS[-1]
NARROW = 32  # width of students beside counts of baskets, to which a network adds little


@dataclass(frozen=True)
class Habits:
    """How users act: whether there is a `clock`, the shares of `repeats` and of events `together`
    in one moment; of `users`, how many are `returning`: act among the latest events and before."""

    clock: bool
    repeats: float
    together: float
    users: int = 0
    returning: int = 0


def habits(files: Files, ingest: Ingest) -> Habits:
    """Measure how users act in a team's own events.

    Raises:
        ValueError: the events cannot be read.
    """
    events, _ = read_events(files, ingest, Notes())
    clock = ingest.layout == "table" and ingest.time is not None
    return measure(events, clock=clock)


def measure(events: pd.DataFrame, *, clock: bool) -> Habits:
    """The same for events in a table. A repeat is of another moment than the first time."""
    keys = [Columns.USER, Columns.ITEM]
    if not len(events):
        return Habits(clock, 0.0, 0.0)
    users = events[Columns.USER].nunique()
    if not clock:
        return Habits(clock, float(events.duplicated(keys).mean()), 0.0, users)
    first = events.groupby(keys)[Columns.TIME].transform("min")
    repeats = float((events[Columns.TIME] > first).mean())
    shared = events.duplicated([Columns.USER, Columns.TIME], keep=False)
    together = float(np.mean(shared & events[Columns.TIME].notna()))
    ages = events[Columns.TIME].rank(method="max", pct=True)
    late = events.loc[ages > 1 - LATEST, Columns.USER].unique()
    early = events.loc[ages <= 1 - LATEST, Columns.USER].unique()
    return Habits(clock, repeats, together, users, len(np.intersect1d(late, early)))


def propose(known: Habits) -> tuple[Settings, list[str]]:
    """The settings that fit, and a line about each that says why."""
    repeats, baskets = known.repeats >= REPEATED, known.together >= TOGETHER
    experts = [
        *(OF_BASKETS if baskets else OF_EVENTS),
        *(REPEATS if repeats else ()),
        POPULARITY,
    ]
    settings: Settings = {
        "features": {"exclude_seen": not repeats, "baskets": baskets},
        "teacher": {"experts": experts},
        "distill": {"experts": experts},
    }
    seen = f"{known.repeats:.0%} of the events are of an item that the user took before"
    moment = f"{known.together:.0%} of the events share their moment with another one of the user"
    lines = [
        f"features.exclude_seen: {str(not repeats).lower()}, since {seen}",
        f"features.baskets: {str(baskets).lower()}, since {moment}"
        if known.clock
        else "features.baskets: false, since `ingest.time` is null",
        f"teacher.experts, distill.experts: {', '.join(experts)}, which fits "
        f"{'' if repeats else 'no '}repeats and {'' if baskets else 'no '}baskets",
    ]
    if baskets:
        settings["distill"]["dimension"] = NARROW
        lines.append(f"distill.dimension: {NARROW}, since counts know most of what baskets tell")
    split, why = proposed_split(known, baskets=baskets)
    return {**settings, "split": split}, [*lines, *why]


def proposed_split(known: Habits, *, baskets: bool) -> tuple[dict[str, Any], list[str]]:
    """The settings of `split` that fit, and lines about them."""
    if not known.clock:
        return {"method": "leave-one-out"}, [
            "split.method: leave-one-out, since `ingest.time` is null"
        ]
    few = known.returning < FEWEST and known.users >= 2 * known.returning
    method = "by-user" if few else "time"
    cases = MORE_CASES if few or baskets else CASES
    reason = "fewer would be the start of a basket" if baskets else f"the split is {method}"
    return {"method": method, "cases_per_user": cases}, [
        f"split.method: {method}, since {known.returning:,} of {known.users:,} users act among the "
        f"latest {LATEST:.0%} of the events and before them",
        f"split.cases_per_user: {cases}, since {reason}",
    ]
