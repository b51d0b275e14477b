"""What `decant configure` proposes for a team's own events, from what is in them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from decant.columns import Columns
from decant.data.sources.layout import Files
from decant.data.sources.notes import Notes
from decant.data.sources.own_events import read_events
from decant.params.data import Ingest
from decant.params.edit import Settings

REPEATED = 0.05  # share of events on an item that the user took before, from which they matter
TOGETHER = 0.2  # share of events that share their moment with another one of the user
CASES, BASKET_CASES = 4, 20  # evaluated of each user: the first four would only begin a basket


@dataclass(frozen=True)
class Habits:
    """How users act: whether there is a `clock`, and the shares of `repeats` and of events
    `together` in one moment."""

    clock: bool
    repeats: float
    together: float


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
    if not clock:
        return Habits(clock, float(events.duplicated(keys).mean()), 0.0)
    first = events.groupby(keys)[Columns.TIME].transform("min")
    repeats = float((events[Columns.TIME] > first).mean())
    shared = events.duplicated([Columns.USER, Columns.TIME], keep=False)
    return Habits(clock, repeats, float(np.mean(shared & events[Columns.TIME].notna())))


def propose(known: Habits) -> tuple[Settings, list[str]]:
    """The settings that fit, and a line about each that says why."""
    repeats, baskets = known.repeats >= REPEATED, known.together >= TOGETHER
    seen = f"{known.repeats:.0%} of the events are of an item that the user took before"
    moment = f"{known.together:.0%} of the events share their moment with another one of the user"
    lines = [
        f"features.exclude_seen: {str(not repeats).lower()}, since {seen}",
        f"features.baskets: {str(baskets).lower()}, since {moment}"
        if known.clock
        else "features.baskets: false, since `ingest.time` is null",
    ]
    settings: Settings = {"features": {"exclude_seen": not repeats, "baskets": baskets}}
    if known.clock:
        settings["split"] = {
            "method": "time",
            "cases_per_user": BASKET_CASES if baskets else CASES,
        }
        lines.append("split.method: time, since events have times")
        if baskets:
            lines.append(
                f"split.cases_per_user: {BASKET_CASES}, since fewer would be the start of a basket"
            )
    else:
        lines.append("split.method: leave-one-out, since `ingest.time` is null")
    return settings, lines
