"""Validation rules of each source."""

from dataclasses import dataclass

import numpy as np

from decant.features.values import EARLIEST, LATEST

HOLE = 365 * 86_400.0  # seconds; a longer gap without events …
STRAGGLERS = 0.1  # … followed by less than this share of the events means wrong clocks


@dataclass(frozen=True)
class Rules:
    """The rules of one source.

    `clock`: each event needs a plausible time. `known_users`, `known_items`: each event's user or
    item needs a row in its table. `behaviours`: the allowed ones, empty for any. `set_aside`:
    behaviours that express no interest in an item; they are quarantined under their own name and
    do not count as bad. `rated`: each event needs a rating from 1 to 5.
    """

    clock: bool = True
    known_users: bool = False
    known_items: bool = False
    behaviours: tuple[str, ...] = ()
    set_aside: tuple[str, ...] = ()
    rated: bool = False


def rules_for(
    source: str, *, clock: bool, users: int, items: int, keep_unknown_items: bool = False
) -> Rules:
    """The rules of `source`; `users`, `items`: the number of rows of its tables.

    Public data sets and the demo shop have complete tables. A team's own users table may be
    partial, since attributes are optional; its items table, if any, is the catalogue, unless
    `keep_unknown_items` allows for a table that lags behind.
    """
    if source == "demo":
        return Rules(clock, True, True, behaviours=("view", "cart", "purchase"))
    if source.startswith("movielens"):
        # the renumbered MovieLens log is the only one without items and ratings
        return Rules(clock, users > 0, items > 0, behaviours=("rating",), rated=items > 0)
    if source == "online-retail":
        aside = ("cancellation", "correction", "charge")
        return Rules(clock, behaviours=("purchase",), set_aside=aside)
    return Rules(clock, known_items=items > 0 and not keep_unknown_items)


def latest_plausible(times: np.ndarray) -> float:
    """The latest plausible time, judged by the log itself, never by today's clock.

    `times`: float seconds, NaN allowed. If fewer than a tenth of the events follow a gap of more
    than a year, their clocks are wrong. NaN if no time is known.
    """
    known = np.sort(times[np.isfinite(times) & (times >= EARLIEST) & (times < LATEST)])
    if not len(known):
        return float("nan")
    behind = len(known) - 1 - np.arange(len(known) - 1)
    holes = np.flatnonzero((np.diff(known) > HOLE) & (behind < STRAGGLERS * len(known)))
    return float(known[holes[0]] if len(holes) else known[-1])
