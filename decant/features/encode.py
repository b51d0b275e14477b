"""Raw behaviour → model inputs: the only implementation for training, evaluation and serving.

A user's events are sorted, repeats of one item within `merge_window` seconds become one event, and
ids become indices. Index 0 always means padding or unknown.

With `baskets`, a user's events of one moment are a set: the order in which they were written says
nothing, so they are put into an order that depends on their items and the moment alone.
"""

import json
import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from decant.features.values import attribute_value, number

STRENGTH = ("view", "click", "favourite", "cart", "rating", "purchase")
GAP_SECONDS = (60.0, 600.0, 3600.0, 21600.0, 86400.0, 604800.0, 2592000.0)
INPUTS = ("items", "behaviours", "ratings", "gaps")
MOMENT = ("lags", "ages")  # inputs that depend on the moment to recommend for
MOST_LAG = 60  # baskets back; older ones count as this one
LONGEST_AGE = 2**28  # seconds, over eight years; also where the age is unknown


class EncoderError(ValueError):
    """The stored encoder is invalid."""


@dataclass(frozen=True)
class Attribute:
    """Maps one user attribute to an index: by `values`, or by numeric `edges`."""

    values: tuple[str, ...] = ()
    edges: tuple[float, ...] | None = None

    @property
    def size(self) -> int:
        """Number of indices, 0 (unknown) included."""
        return 1 + (len(self.values) if self.edges is None else len(self.edges) + 1)

    def index(self, value: Any) -> int:
        """Index of one raw value; 0 for a missing or unknown one."""
        known = attribute_value(value)
        if self.edges is None:
            return self._places.get(known, 0)
        exact = number(known)
        return 0 if exact is None else bisect_right(self.edges, exact) + 1

    @cached_property
    def _places(self) -> dict[str | None, int]:
        """Canonical value → index; the first of equal values wins."""
        places: dict[str | None, int] = {}
        for place, value in enumerate(self.values, start=1):
            places.setdefault(attribute_value(value), place)
        return places


class Events(NamedTuple):
    """Events of one or more users, flat arrays of equal length, ordered by user and time.

    `users` int; `items`, `behaviours` int (1-based); `times` float seconds, NaN if unknown;
    `ratings` float, NaN for none.
    """

    users: np.ndarray
    items: np.ndarray
    behaviours: np.ndarray
    times: np.ndarray
    ratings: np.ndarray

    def take(self, index: np.ndarray) -> "Events":
        return Events(*(column[index] for column in self))


@dataclass(frozen=True)
class Encoder:
    """Everything needed to encode a request in the same way as the training events."""

    items: tuple[str, ...]
    behaviours: tuple[str, ...]  # the weakest first
    attributes: dict[str, Attribute]
    max_length: int
    merge_window: float
    exclude_seen: bool
    rating_edges: tuple[float, ...] = ()
    missing: tuple[str, ...] = ()  # spellings of a missing attribute value
    gaps: bool = True  # whether the gaps of the data differ; without times there are none
    baskets: bool = False  # whether events of one moment are a set

    @property
    def item_index(self) -> dict[str, int]:
        """Item id → index, from 1."""
        return {item: i for i, item in enumerate(self.items, start=1)}

    def attribute_indices(self, user: Mapping[str, Any]) -> np.ndarray:
        """One user's raw attributes → int64 [A], in the order of `attributes`."""
        return np.array(
            [a.index(user.get(name)) for name, a in self.attributes.items()], dtype=np.int64
        )

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", "utf-8")

    @staticmethod
    def load(path: Path) -> "Encoder":
        """Read what `save` wrote.

        Raises:
            EncoderError: the file is not a stored encoder.
        """
        return Encoder.parse(path.name, path.read_bytes())

    @staticmethod
    def parse(name: str, stored: bytes) -> "Encoder":
        """The same from a file's bytes; `name` is only for the message."""
        try:
            content = json.loads(stored)
            attributes = {
                name: Attribute(
                    tuple(a["values"]), None if a["edges"] is None else tuple(a["edges"])
                )
                for name, a in content.pop("attributes").items()
            }
            lists: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in content.items()
            }
            return Encoder(attributes=attributes, **lists)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise EncoderError(f"{name} is not a stored encoder: {error!r}") from None


def order_behaviours(names: list[str]) -> tuple[str, ...]:
    """Sort behaviours from weakest to strongest; unknown ones first, by name."""
    return tuple(sorted(names, key=lambda n: (STRENGTH.index(n) if n in STRENGTH else -1, n)))


def merge(events: Events, window: float) -> Events:
    """Merge runs of a user's events on one item, each within `window` seconds of the previous one.

    The merged event has the first time, the strongest behaviour and the last known rating. Only
    adjacent events merge, so that no event contains information from after the next one. Events
    without times stay as they are.
    """
    if not len(events.users):
        return events
    with np.errstate(invalid="ignore"):
        repeat = (
            (events.users[1:] == events.users[:-1])
            & (events.items[1:] == events.items[:-1])
            & (np.diff(events.times) <= window)
        )
    starts = np.flatnonzero(np.r_[True, ~repeat])
    merged = events.take(starts)
    return merged._replace(
        behaviours=np.maximum.reduceat(events.behaviours, starts),
        ratings=_last_known(events.ratings, starts),
    )


def _last_known(ratings: np.ndarray, starts: np.ndarray) -> np.ndarray:
    known = np.where(np.isnan(ratings), -1, np.arange(len(ratings)))
    last = np.maximum.reduceat(known, starts)
    return np.where(last >= 0, ratings[last], np.nan)


def in_order(events: Events, baskets: bool = False) -> Events:
    """Sort events by user and time; a user's events without times keep their order.

    With `baskets`, events of one moment are ordered by a hash, else they keep their order.
    """
    keys: tuple[np.ndarray, ...] = (events.times, events.users)
    if baskets:
        keys = (events.ratings, events.behaviours, scattered(events.items, events.times), *keys)
    return events.take(np.lexsort(keys))


def scattered(items: np.ndarray, times: np.ndarray) -> np.ndarray:
    """A hash of item and time, uint64 [E]; 0 without a time (the finaliser of SplitMix64).

    The time is a part of it: by the item alone, an item would tell which ones can still follow.
    """
    with np.errstate(over="ignore"):
        mixed = items.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= times.astype(np.float64).view(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.where(np.isnan(times), np.uint64(0), mixed ^ (mixed >> np.uint64(31)))


def basket_numbers(users: np.ndarray, times: np.ndarray, baskets: bool) -> np.ndarray:
    """The number of each ordered event's basket, int64 [E], ascending.

    With `baskets`, a user's events of one moment share a number; else each event has its own, as
    has an event without a time.
    """
    if not baskets or not len(users):
        return np.arange(len(users))
    first = np.r_[True, (users[1:] != users[:-1]) | (times[1:] != times[:-1])]
    return np.cumsum(first) - 1


def gap_indices(users: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Time since the same user's previous event → index, int64; 0 for a first event or no time."""
    gaps = np.full(len(times), np.nan)
    gaps[1:] = np.where(users[1:] == users[:-1], np.diff(times), np.nan)
    return np.where(np.isnan(gaps), 0, np.searchsorted(GAP_SECONDS, gaps, side="right") + 1)


def rating_indices(edges: tuple[float, ...], ratings: np.ndarray) -> np.ndarray:
    """Ratings → index, int64; 0 for none."""
    return np.where(np.isnan(ratings), 0, np.searchsorted(edges, ratings, side="right") + 1)


def basket_lags(numbers: np.ndarray, opened: bool) -> np.ndarray:
    """How many baskets back each of a user's events is, int64 [E]: 1 is the open one, 2 the last
    before it, at most `MOST_LAG`. `numbers`: see `basket_numbers`; `opened`: whether the newest is
    still open."""
    if not len(numbers):
        return np.zeros(0, dtype=np.int64)
    lags = np.minimum(numbers[-1] - numbers + (1 if opened else 2), MOST_LAG)
    return np.asarray(lags, dtype=np.int64)


def age_seconds(now: np.ndarray | float, times: np.ndarray) -> np.ndarray:
    """Whole seconds from each event to the moment, int64; at most `LONGEST_AGE`, which also stands
    for an unknown age."""
    ages = np.clip(now - times, 0.0, LONGEST_AGE)
    return np.where(np.isnan(ages), LONGEST_AGE, ages).astype(np.int64)


def tidy(encoder: Encoder, history: Events) -> Events:
    """Sort and merge raw events, as in training."""
    return merge(in_order(history, encoder.baskets), encoder.merge_window)


def encode_events(encoder: Encoder, events: Events, now: float = math.nan) -> dict[str, np.ndarray]:
    """One user's tidy events → model inputs of the last `max_length`, int64 [T] each.

    `now`: the moment to recommend for, seconds since the epoch; NaN: unknown.
    """
    opened = encoder.baskets and len(events.times) > 0 and bool(events.times[-1] == now)
    numbers = basket_numbers(events.users, events.times, encoder.baskets)
    encoded = {
        "items": events.items,
        "behaviours": events.behaviours,
        "ratings": rating_indices(encoder.rating_edges, events.ratings),
        "gaps": gap_indices(events.users, events.times),
        "lags": basket_lags(numbers, opened),
        "ages": age_seconds(now, events.times),
    }
    return {
        name: column[-encoder.max_length :].astype(np.int64) for name, column in encoded.items()
    }


def right_align(rows: list[np.ndarray], length: int) -> np.ndarray:
    """Rows of unequal length → int64 [B, length], padded with 0 on the left, the newest last."""
    block = np.zeros((len(rows), length), dtype=np.int64)
    for block_row, row in zip(block, rows, strict=True):
        if len(row):
            block_row[-len(row) :] = row[-length:]
    return block
