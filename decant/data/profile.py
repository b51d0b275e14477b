"""Profiles of user groups: interests, attributes and consumed items, compared with all users."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from decant.data.prepare import SCALED
from decant.features.sequences import Sequences, training_events

TAGS, VALUES = 5, 3  # listed per group
DIGITS = 4
Profile = dict[str, Any]


def profiles(
    users: pd.DataFrame,
    items: pd.DataFrame,
    sequences: Sequences,
    members: Mapping[str, np.ndarray],
    attributes: Iterable[str],
) -> dict[str, Profile]:
    """The profile of each group.

    Args:
        users, items: their features from `prepare`.
        members: user indices by group.
        attributes: the users' columns that may be shown; others may hold names or addresses.

    Returns:
        By group: `users`, their number; `tags`, the most frequent interest tags; `numbers` of the
        users and `taken`, of the items in their training events; `values` of text attributes.
    """
    events = training_events(sequences)
    owner = np.searchsorted(np.asarray(sequences.offsets), events, side="right") - 1
    taken = np.asarray(sequences.items)[events] - 1
    columns = [name for name in attributes if name in users]
    numeric = [name for name in (*columns, "events") if f"{name}{SCALED}" in users]
    priced = [name for name in map(str, items) if f"{name}{SCALED}" in items]
    return {
        name: {
            "users": len(group),
            "tags": tags(users["tags"], group),
            "numbers": {c: number(users, c, group) for c in numeric},
            "taken": {c: number(items, c, taken[np.isin(owner, group)], taken) for c in priced},
            "values": {
                c: values(users[c].iloc[group]) for c in columns if f"{c}{SCALED}" not in users
            },
        }
        for name, group in members.items()
    }


def tags(column: pd.Series, group: np.ndarray) -> list[dict[str, Any]]:
    """A group's interest tags: the share of its users with each, and its lift over all users."""
    in_group, overall = (_counts(rows.explode()) for rows in (column.iloc[group], column))
    return [
        {
            "tag": tag,
            "share": round(count / len(group), DIGITS),
            "lift": round(count / len(group) * len(column) / overall[tag], DIGITS),
        }
        for tag, count in list(in_group.items())[:TAGS]
    ]


def number(
    table: pd.DataFrame, column: str, rows: np.ndarray, of_all: np.ndarray | None = None
) -> dict[str, Any]:
    """The median of the known values of some rows, and their deviation from a reference.

    `deviation`: the difference of the means of the imputed column, in its standard deviations.
    `of_all`: the reference rows; None: each row of the table once.
    """
    known = table[column].iloc[rows].dropna()
    scaled = table[f"{column}{SCALED}"].to_numpy()
    usual = float(scaled.mean() if of_all is None else scaled[of_all].mean())
    return {
        "median": round(float(known.median()), DIGITS) if len(known) else None,
        "known": len(known),
        "deviation": round(float(scaled[rows].mean()) - usual, DIGITS) if len(rows) else None,
    }


def values(column: pd.Series) -> list[dict[str, Any]]:
    """The most frequent values, each with its share of the known values."""
    counts = _counts(column)
    total = sum(counts.values())
    return [
        {"value": value, "share": round(count / total, DIGITS)}
        for value, count in list(counts.items())[:VALUES]
    ]


def profile_line(name: str, profile: Profile) -> str:
    """A profile as readable text."""
    if not profile["users"]:
        return f"{name}: no users"
    likes = [f"{t['tag']} {t['share']:.0%} ({t['lift']:.1f}× usual)" for t in profile["tags"]]
    medians = [
        f"{column} {entry['median']:g}"
        for column, entry in (*profile["numbers"].items(), *profile["taken"].items())
        if entry["median"] is not None
    ]
    parts = [f"likes {', '.join(likes)}"] if likes else []
    parts += [f"median {', '.join(medians)}"] if medians else []
    for column, entries in profile["values"].items():
        shares = [f"{entry['value']} {entry['share']:.0%}" for entry in entries]
        parts += [f"{column} {', '.join(shares)}"] if shares else []
    return f"{name}: {'; '.join(parts)}"


def _counts(column: pd.Series) -> dict[str, int]:
    """Count of each value, the most frequent first, then by name."""
    counts = column.dropna().astype(str).value_counts()
    return dict(sorted(((str(v), int(n)) for v, n in counts.items()), key=lambda c: (-c[1], c[0])))
