"""The ranks of two runs, matched by case: the same event of the same user on both sides.

A case is a user and an event's position in the arrays of `features`. If these arrays differ between
the runs, cases are matched by persistent keys: the user's pseudonym, the item, the time.
"""

import io
from dataclasses import dataclass

import numpy as np
import pandas as pd

from decant.columns import Columns
from decant.diff.cache import NotCachedError, Outputs
from decant.diff.sides import MADE, Side
from decant.features.sequences import TEST, VALIDATION
from decant.files import parse_json
from decant.params.types import GENERAL, TEACHER
from decant.report.scores import FAMILY, served, serving

CASES = "data/evaluation/cases.parquet"
GROUPS = "data/segments/{}.npy"
SERVED_BY_GENERAL = "_served_by_general"
USERS, ENCODER = "data/features/users.parquet", "data/features/encoder.json"
EVENTS = "data/features/sequences/{}.npy"
INDEX = (USERS, ENCODER, *(EVENTS.format(name) for name in ("offsets", "items", "times")))
KEY = ["window", "user", "event"]


@dataclass(frozen=True)
class Paired:
    """Ranks of the cases in both runs, and each user's group on either side.

    `ranks`: window, user, model, a, b; `groups`: user → group, by side. `cases`: number of all
    cases by side and window.
    """

    ranks: pd.DataFrame
    groups: dict[str, pd.Series]
    cases: dict[str, dict[str, int]]


def pair(a: Side, b: Side) -> Paired:
    """Pair the ranks of the teacher and of the family as released.

    Raises:
        NotCachedError: a required output is missing; the message starts with the side.
    """
    same = same_index(a.outputs, b.outputs)
    ranks, groups, cases = {}, {}, {}
    for letter, side in (("a", a), ("b", b)):
        try:
            rows, groups[letter] = read_ranks(side, persistent_keys=not same)
        except NotCachedError as error:
            raise NotCachedError(f"{letter.upper()}: {error.place}", error.problem) from None
        ranks[letter] = rows.drop_duplicates([*KEY, "model"])
        of_family = ranks[letter]["model"] == FAMILY
        cases[letter] = {
            window: int((ranks[letter].loc[of_family, "window"] == window).sum())
            for window in (VALIDATION, TEST)
        }
    merged = ranks["a"].merge(ranks["b"], on=[*KEY, "model"], suffixes=("_a", "_b"))
    merged = merged.rename(columns={"rank_a": "a", "rank_b": "b"})
    return Paired(merged[["window", "user", "model", "a", "b"]], groups, cases)


def read_ranks(side: Side, *, persistent_keys: bool) -> tuple[pd.DataFrame, pd.Series]:
    """Ranks of teacher and family (window, user, event, model, rank), and the group of each user.

    Raises:
        NotCachedError: a required output is missing.
    """
    if not side.verdict:
        raise NotCachedError(MADE["verdict"], "is not available")
    table, groups = read_cases(side.outputs), read_groups(side)
    family = served(table, groups, serving(side.verdict))
    rows = pd.concat([table[table["model"] == TEACHER], family])
    if persistent_keys:
        return with_persistent_keys(rows, groups, side.outputs)
    return rows.rename(columns={"position": "event"}), groups


def same_index(a: Outputs, b: Outputs) -> bool:
    """Whether users and events have the same indices in both runs."""
    try:
        return all(a.md5(place) == b.md5(place) for place in INDEX)
    except NotCachedError:
        return a.hashes.get("data/features") == b.hashes.get("data/features")


def read_cases(outputs: Outputs) -> pd.DataFrame:
    """The ranks that `evaluate` wrote: model, window, user, position, rank."""
    cases = pd.read_parquet(io.BytesIO(outputs.read(CASES)))
    missing = sorted({"model", "window", "user", "position", "rank"} - {*cases.columns})
    if missing:
        raise NotCachedError(CASES, f"has another layout (no {', '.join(missing)})")
    return cases


def read_groups(side: Side) -> pd.Series:
    """The group of every user, by index."""
    folders = {name: GROUPS.format(name) for name in serving(side.verdict)}
    folders[GENERAL] = GROUPS.format(
        SERVED_BY_GENERAL
    )  # includes users of merged segments, so last
    parts = [pd.Series(n, read_array(side.outputs, place)) for n, place in folders.items()]
    groups = pd.concat(parts)
    return groups[~groups.index.duplicated(keep="last")]


def read_array(outputs: Outputs, place: str) -> np.ndarray:
    """An array from an output."""
    array: np.ndarray = np.load(io.BytesIO(outputs.read(place)), allow_pickle=False)
    return array


def with_persistent_keys(
    rows: pd.DataFrame, groups: pd.Series, outputs: Outputs
) -> tuple[pd.DataFrame, pd.Series]:
    """Cases and groups, with pseudonyms as users, and item and time as events."""
    users = pd.read_parquet(io.BytesIO(outputs.read(USERS)))[Columns.USER].to_numpy()
    items = np.array(["", *read_items(outputs)], dtype=object)
    position = rows["position"].to_numpy()
    item_numbers = read_array(outputs, EVENTS.format("items"))[position]
    times = read_array(outputs, EVENTS.format("times"))[position]
    event = (
        pd.Series(items[item_numbers], index=rows.index)
        + "@"
        + pd.Series(times, rows.index).map(str)
    )
    named = rows.assign(user=users[rows["user"].to_numpy()], event=event)
    return named, groups.set_axis(users[groups.index.to_numpy()])


def read_items(outputs: Outputs) -> list[str]:
    """The catalogue, ordered by item number, from 1."""
    return list(parse_json(ENCODER, outputs.read(ENCODER))["items"])
