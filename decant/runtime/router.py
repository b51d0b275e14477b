"""The router of a release: its rules in order, and the popular items of each segment."""

import json
from typing import Any

import numpy as np

from decant.features.segments import (
    GENERAL,
    Rule,
    by_priority,
    parse_rule,
)
from decant.features.taste import TasteGroups
from decant.models import bundle

ENCODER, ROUTER, STUDENTS = "encoder.json", "router.json", "students"
FROM_ALL = 50.0  # events distributed like those of all users, added to a segment's


def read_router(content: bytes) -> dict[str, Any]:
    """Parse a router: `{"students": {name: {where, priority}}, "folded": [name]}`.

    Raises:
        BundleError: the content is not a router.
    """
    try:
        router = json.loads(content)
        return {**router, "students": dict(router["students"]), "folded": list(router["folded"])}
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise bundle.BundleError(f"{ROUTER} is not a router: {error!r}") from None


def read_rules(router: dict[str, Any]) -> list[Rule]:
    """A router's rules in evaluation order.

    Raises:
        BundleError: the router is invalid. RuleError: a rule does not parse.
    """
    try:
        named = [(name, r["where"], int(r["priority"])) for name, r in router["students"].items()]
    except (LookupError, TypeError, ValueError) as error:
        raise bundle.BundleError(f"{ROUTER} is not a router: {error!r}") from None
    return by_priority([parse_rule(*rule) for rule in named])


def read_taste(router: dict[str, Any], items: int) -> TasteGroups | None:
    """The groups by taste of a router; None where it has none.

    Raises:
        BundleError: they are not groups of `items` items.
    """
    if "taste" not in router:
        return None
    try:
        return TasteGroups.from_lists(router["taste"], items)
    except (ValueError, TypeError) as error:
        raise bundle.BundleError(f"{ROUTER} is not a router: {error}") from None


def read_popular(router: dict[str, Any], index: dict[str, int]) -> dict[str, np.ndarray]:
    """Scores of every item by its popularity in each segment, float32 [1, N + 1].

    An item's share of the segment's events, smoothed with that of all users: items without events
    in a small segment keep the order of all users.

    Raises:
        BundleError: the router's lists are invalid.
    """
    try:
        lists = router.get("popular", {}).items()
        counts = {name: np.zeros(len(index) + 1) for name, _ in lists}
        for name, listed in lists:
            for item, count in listed:
                counts[name][index[item]] = float(count)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise bundle.BundleError(f"{ROUTER}: invalid lists of popular items: {error!r}") from None
    if not counts:
        return {}
    overall = counts.get(GENERAL, np.zeros(len(index) + 1))
    overall = overall / max(overall.sum(), 1.0)
    return {
        name: ((events + FROM_ALL * overall) / (events.sum() + FROM_ALL)).astype(np.float32)[None]
        for name, events in counts.items()
    }
