"""Quality figures of two runs, with paired intervals if the ranks are available."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from decant.diff.cache import NotCachedError
from decant.diff.ranks import Paired, pair
from decant.diff.sides import Side
from decant.evaluation.evaluate import ALL
from decant.evaluation.intervals import Gain, paired_gain
from decant.evaluation.lookup import figure
from decant.evaluation.metrics import ndcg, user_means
from decant.features.sequences import TEST, VALIDATION
from decant.params.release import Evaluate
from decant.params.types import TEACHER
from decant.report.scores import FAMILY

SEED = 7  # default if a side's settings have none
BETTER, WORSE = "better", "worse"
NOISE, SAME, UNKNOWN = "no change beyond noise", "the same ranks", "no interval"
FEW = "too few users to decide"
FEWEST = 20  # users for a meaningful bootstrap


@dataclass(frozen=True)
class Row:
    """One figure of both sides; `gain` is B - A, `users` the number of compared users."""

    window: str
    model: str
    group: str
    a: float | None
    b: float | None
    gain: float | None
    low: float | None
    high: float | None
    users: int | None
    verdict: str


@dataclass(frozen=True)
class Quality:
    """NDCG@k of family and teacher, by window and group.

    `paired`: with intervals; `missing`: the output that is missing for them.
    """

    k: int
    paired: bool
    rows: list[Row]
    notes: list[str]
    missing: str | None = None


def compare_quality(a: Side, b: Side) -> Quality:
    """Compare all figures; without the ranks of both sides, their recorded figures."""
    cutoffs = [figure(side.metrics, "k") for side in (a, b)]
    k = int(next((cutoff for cutoff in reversed(cutoffs) if cutoff), 10))
    try:
        paired = pair(a, b)
    except NotCachedError as error:
        notes = [f"{error}: figures without an interval"]
        return Quality(k, False, list(plain_rows(a, b, k)), notes, missing=error.place)
    notes = differences_of_cases(paired)
    if not len(paired.ranks):
        notes.append("the runs share no case: figures without an interval")
        return Quality(k, False, list(plain_rows(a, b, k)), notes)
    if len({*cutoffs}) > 1:
        notes.append(f"both sides are measured at B's k = {k}")
    if len({figure(side.metrics, "catalogue") for side in (a, b)}) > 1:
        notes.append("the catalogues differ in size: ranks are among different items")
    resamples = int(b.settings.get("evaluate.resamples", Evaluate().resamples))
    seed = int(b.settings.get("seed", SEED))
    return Quality(k, True, list(paired_rows(paired, k, resamples, seed)), notes)


def paired_rows(paired: Paired, k: int, resamples: int, seed: int) -> Iterator[Row]:
    """Rows for each window, model and group with cases on both sides."""
    for window in (TEST, VALIDATION):
        for model in (FAMILY, TEACHER):
            table = paired.ranks
            table = table[(table["window"] == window) & (table["model"] == model)]
            for group, users in groups_of(paired).items():
                rows = table if users is None else table[table["user"].isin(users)]
                if len(rows):
                    yield paired_row(window, model, group, rows, k, resamples, seed)


def groups_of(paired: Paired) -> dict[str, pd.Index | None]:
    """The users of B's groups, then of groups only in A; None for all users."""
    groups: dict[str, pd.Index | None] = {ALL: None}
    for side in ("b", "a"):
        members = paired.groups[side]
        for name in sorted(members.unique()):
            groups.setdefault(name, members.index[members == name])
    return groups


def paired_row(
    window: str, model: str, group: str, rows: pd.DataFrame, k: int, resamples: int, seed: int
) -> Row:
    """One figure: the mean over users of NDCG@k, and the gain with its interval."""
    users = rows["user"].to_numpy()
    theirs, ours = (user_means(ndcg(rows[side].to_numpy(), k), users)[1] for side in ("a", "b"))
    gain = paired_gain(ours, theirs, resamples, seed)
    same = bool((rows["a"] == rows["b"]).all())
    verdict = SAME if same else verdict_on(gain)
    means = float(np.mean(theirs)), float(np.mean(ours))
    return Row(window, model, group, *means, gain.gain, gain.low, gain.high, gain.n, verdict)


def verdict_on(gain: Gain) -> str:
    """Verdict on a gain; noise if its interval contains 0."""
    if gain.n < FEWEST:
        return FEW
    if gain.low <= 0 <= gain.high:
        return NOISE
    return BETTER if gain.gain > 0 else WORSE


def plain_rows(a: Side, b: Side, k: int) -> Iterator[Row]:
    """The recorded figures of both sides, without an interval."""
    comparable = len({figure(side.metrics, "k") for side in (a, b)}) == 1
    for window in (TEST, VALIDATION):
        for model in (FAMILY, TEACHER):
            tables = [figures_by_group(side, window, model) for side in (a, b)]
            for group in dict.fromkeys([ALL, *sorted({*tables[0], *tables[1]})]):
                before, now = (table.get(group) for table in tables)
                known = before is not None and now is not None and comparable
                gain = now - before if known else None  # type: ignore[operator]
                if before is not None or now is not None:
                    yield Row(window, model, group, before, now, gain, None, None, None, UNKNOWN)


def figures_by_group(side: Side, window: str, model: str) -> dict[str, float]:
    """NDCG of a model in each group, as recorded by the run."""
    if model == FAMILY:
        groups: Any = side.verdict.get("family", {}).get(window, {})
    else:
        groups = side.metrics.get("models", {}).get(model, {}).get(window, {})
    values = {name: figure(groups, name, "ndcg") for name in groups}
    return {name: value for name, value in values.items() if value is not None}


def differences_of_cases(paired: Paired) -> list[str]:
    """Notes on windows whose cases differ between the runs, and on users who changed group."""
    of_family = paired.ranks[paired.ranks["model"] == FAMILY]
    both = of_family["window"].value_counts()
    notes = []
    for window in (TEST, VALIDATION):
        a, b = (paired.cases[side].get(window, 0) for side in ("a", "b"))
        shared = int(both.get(window, 0))
        if not a == b == shared:
            notes.append(f"{window}: {shared:,} shared cases, of {a:,} in A and {b:,} in B")
    moved = moved_users(paired)
    if moved:
        notes.append(f"{moved:,} users are in another group in B: groups are compared as in B")
    return notes


def moved_users(paired: Paired) -> int:
    """Number of users who are in different groups in the two runs."""
    a, b = paired.groups["a"], paired.groups["b"]
    shared = a.index.intersection(b.index)
    return int((a.loc[shared] != b.loc[shared]).sum())
