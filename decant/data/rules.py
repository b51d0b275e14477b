"""What is asked of the rows of each source."""

from dataclasses import dataclass

import numpy as np

from decant.features.values import EARLIEST, LATEST

HOLE = 365 * 86_400.0  # seconds without a single event …
STRAGGLERS = 0.1  # … and a smaller share than this behind it: those are wrong clocks


@dataclass(frozen=True)
class Rules:
    """The rules of one source.

    `clock`: each event needs a sane time. `known_users`, `known_items`: each event's user or item
    needs a row in its table. `behaviours`: those that exist, empty for any. `set_aside`:
    behaviours that are no interest in an item; they are quarantined under their own name and do
    not count as bad. `rated`: each event needs a rating from 1 to 5.
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
    """The rules of `source`, whose tables have `users` and `items` rows.

    Public data sets and the demo shop come with complete tables. A team's own users table may be
    partial, since attributes are optional; its items table, if there is one, is the catalogue,
    unless `keep_unknown_items` says that it may lag behind.
    """
    if source == "demo":
        return Rules(clock, True, True, behaviours=("view", "cart", "purchase"))
    if source.startswith("movielens"):
        # of the MovieLens logs, the renumbered one alone has neither items nor ratings
        return Rules(clock, users > 0, items > 0, behaviours=("rating",), rated=items > 0)
    if source == "online-retail":
        aside = ("cancellation", "correction", "charge")
        return Rules(clock, behaviours=("purchase",), set_aside=aside)
    return Rules(clock, known_items=items > 0 and not keep_unknown_items)


def latest_plausible(times: np.ndarray) -> float:
    """The last time before the future begins: judged by the log itself, never by today's clock.

    `times`: float seconds, NaN allowed. Where the log falls silent for more than a year and fewer
    than a tenth of the events come after that, those are wrong clocks. NaN if there is no time.
    """
    known = np.sort(times[np.isfinite(times) & (times >= EARLIEST) & (times < LATEST)])
    if not len(known):
        return float("nan")
    behind = len(known) - 1 - np.arange(len(known) - 1)
    holes = np.flatnonzero((np.diff(known) > HOLE) & (behind < STRAGGLERS * len(known)))
    return float(known[holes[0]] if len(holes) else known[-1])
