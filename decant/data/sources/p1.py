"""Protocol P1: MovieLens 1M as in the benchmark file of SASRec and BERT4Rec (`ml-1m.txt`).

Users and items with at least five ratings, counted once over all ratings; each user's ratings in
order of time, equal times in order of the file (Kang & McAuley 2018, "Self-Attentive Sequential
Recommendation"; Sun et al. 2019, "BERT4Rec"). The benchmark file has an order but no times, so
times are dropped.
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from decant.columns import Columns
from decant.data.tables import Tables

AT_LEAST = 5  # ratings of a user, and of an item
ROUNDS = 3  # after two, every user and every item of MovieLens 1M has a label of its own
SPREAD = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying by it keeps places apart


class OtherDataError(ValueError):
    """The data is not that of the protocol; `actual` are its facts."""

    def __init__(self, file: str, actual: "Facts", expected: "Facts") -> None:
        self.file, self.actual = file, actual
        super().__init__(
            f"{file}: not the data of protocol p1: {difference(actual, expected)}: give the "
            "publisher's unchanged ratings.dat with users.dat and movies.dat (`decant fetch "
            "movielens-1m`) or the benchmark file ml-1m.txt, or configure with --protocol none"
        )


@dataclass(frozen=True)
class Facts:
    """Counts of a log, and the `digest` of its sequences."""

    users: int
    items: int
    events: int
    digest: str


P1 = Facts(
    users=6040,
    items=3416,
    events=999_611,
    digest="828fe3268bb7668c01ccf061b4bc6687ff427399d41a05738e0ebb6e0cf6b65c",
)


def built(tables: Tables, expected: Facts) -> Tables:
    """The tables of MovieLens 1M under P1: fewer events, in another order, without times.

    Raises:
        OtherDataError: the result is another catalogue, or in another order, than `expected`.
    """
    events = in_order(with_enough_ratings(tables.events))
    actual = facts(events)
    if actual != expected:
        raise OtherDataError(str(tables.used[0]), actual, expected)
    note = f"protocol p1: {left_out(tables.events, events)}; only their order counts"
    return replace(tables, events=events, clock=False, notes=(*tables.notes, note))


def left_out(before: pd.DataFrame, after: pd.DataFrame) -> str:
    """How many of the events before are left."""
    ratings, items = len(before) - len(after), before[Columns.ITEM].nunique()
    if not ratings:
        return f"all {len(after):,} ratings"
    fewer = items - after[Columns.ITEM].nunique()
    return (
        f"{len(after):,} of {len(before):,} ratings, without those of users or items with fewer "
        f"than {AT_LEAST} ({fewer:,} of {items:,} items)"
    )


def with_enough_ratings(events: pd.DataFrame) -> pd.DataFrame:
    """The events of users and items that have at least `AT_LEAST` ratings in `events`.

    Both are counted before anything is left out, as the published preprocessing does.
    """
    enough = np.ones(len(events), dtype=bool)
    for column in (Columns.USER, Columns.ITEM):
        count = events[column].map(events[column].value_counts())
        enough &= (count >= AT_LEAST).to_numpy() | events[column].isna().to_numpy()
    return events[enough]


def in_order(events: pd.DataFrame) -> pd.DataFrame:
    """User by user, in the order of the file; each user's events by time, without times.

    Args:
        events: in order of arrival: by time, equal times (or no times) in the order of the file.
    """
    first_line = events.groupby(Columns.USER)[Columns.ROW].transform("min")
    place = np.argsort(first_line.to_numpy(), kind="stable")
    order = np.arange(len(events), dtype=np.int64)
    ordered = events.iloc[place].reset_index(drop=True)
    ordered[Columns.TIME] = np.nan
    ordered[Columns.ORDER] = order
    return ordered


def facts(events: pd.DataFrame) -> Facts:
    """Counts and digest of events that are in order."""
    users, items = events[Columns.USER], events[Columns.ITEM]
    return Facts(users.nunique(), items.nunique(), len(events), digest(users, items))


def digest(users: pd.Series, items: pd.Series) -> str:
    """sha256 of all users' sequences, independent of the names and the order of users and items.

    By colour refinement (Weisfeiler & Leman 1968): a user's label digests the labels of their
    items in order, an item's label the labels of its users and its places in their sequences.
    The benchmark file needs it: it renumbers users and items in an order that means nothing.

    Args:
        users, items: one row per event; the events of each user in order.

    >>> a = digest(pd.Series([1, 1, 2]), pd.Series([7, 8, 7]))
    >>> b = digest(pd.Series(["y", "x", "x"]), pd.Series(["p", "p", "q"]))
    >>> a == b, a == digest(pd.Series([1, 1, 2]), pd.Series([8, 7, 7]))
    (True, False)
    """
    user, item = pd.factorize(users)[0], pd.factorize(items)[0]
    by_user = np.argsort(user, kind="stable")
    user, item = user[by_user], item[by_user]
    starts = np.flatnonzero(np.diff(user, prepend=-2))
    place = np.arange(len(user)) - np.repeat(starts, np.diff(starts, append=len(user)))
    item_labels = np.zeros(len(item), dtype="<u8")  # of each event's item
    for _ in range(ROUNDS):
        user_labels = _labels(user, item_labels)
        seen_at = user_labels ^ (place.astype("<u8") * SPREAD)
        by_item = np.lexsort((seen_at, item))
        item_labels = item_labels.copy()
        item_labels[by_item] = _labels(item[by_item], seen_at[by_item])
    whole = np.sort(_labels(user, item_labels)[starts])
    return hashlib.sha256(whole.astype("<u8").tobytes()).hexdigest()


def _labels(groups: np.ndarray, values: np.ndarray) -> np.ndarray:
    """For each row, a 64-bit digest of the values of its group; rows of a group are adjacent."""
    starts = np.flatnonzero(np.diff(groups, prepend=-2))
    stops = np.append(starts[1:], len(groups))
    each = [
        hashlib.sha256(values[start:stop].tobytes()).digest()[:8]
        for start, stop in zip(starts, stops, strict=True)
    ]
    return np.repeat(np.frombuffer(b"".join(each), "<u8"), stops - starts)


def difference(actual: Facts, expected: Facts) -> str:
    """What differs: the counts, or else the order of the events."""
    counts = [
        f"{getattr(actual, name):,} {name} instead of {getattr(expected, name):,}"
        for name in ("users", "items", "events")
        if getattr(actual, name) != getattr(expected, name)
    ]
    return ", ".join(counts) or "the counts agree, but not the events or their order"
