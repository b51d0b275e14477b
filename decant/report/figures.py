"""The figures of a run, by flat name; quality figures have a 95 % interval.

All are measured on the test window, which is not used for selection.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from decant.evaluation.evaluate import HOPS, ORACLE, RELEASED
from decant.evaluation.intervals import paired_gain, ratio_draws
from decant.evaluation.lookup import divide, figure
from decant.evaluation.metrics import user_means
from decant.features.sequences import TEST, VALIDATION
from decant.params.types import GENERAL, TEACHER
from decant.release.ranked import Ranked
from decant.report.results import Figure
from decant.report.scores import (
    FAMILY,
    Scores,
    exact,
    mean,
    ratio,
    released_students,
    share,
    with_interval,
)

UNQUANTISED = HOPS[HOPS.index(RELEASED) - 1]


def figures(metrics: dict[str, Any], verdict: dict[str, Any], scores: Scores) -> dict[str, Figure]:
    """Every figure that can be measured, by dotted name.

    `student.general` is the general student as distilled; `family` is as released. The gains of
    `segments` are relative, NDCG of the family over the general student's in the same group (a
    segment that general serves gains 0); `mean_gain` is their unweighted mean, `worst_gain` the
    lowest with its own interval. `int8.ndcg_loss` is relative: the share of the family's NDCG lost
    in quantisation. `latency.ratio`, `multiply_adds.ratio` and `size.ratio` are teacher ÷ most
    expensive released student, `family.size.ratio` is teacher ÷ all released students together.
    `oracle.share` is family ÷ best possible, on the cases where that is known.
    """
    at_k = f"ndcg@{metrics['k']}"
    measured = {
        f"baseline.best.{at_k}": mean(scores, str(verdict.get("best_baseline"))),
        f"teacher.{at_k}": mean(scores, TEACHER),
        f"student.general.{at_k}": mean(scores, f"{GENERAL}/{HOPS[0]}"),
        f"family.{at_k}": mean(scores, FAMILY),
        **segment_gains(scores),
        "int8.ndcg_loss": loss(ratio(scores, scores.family(), scores.family(UNQUANTISED))),
        "latency.ratio": exact(cost_ratio(metrics, verdict, "latency_us", "p50")),
        "multiply_adds.ratio": exact(cost_ratio(metrics, verdict, "multiply_adds")),
        "family.size.ratio": exact(
            divide(figure(metrics, "models", TEACHER, "bytes"), family_bytes(metrics, verdict))
        ),
        "size.ratio": exact(cost_ratio(metrics, verdict, "bytes")),
        "oracle.share": share(scores, FAMILY, ORACLE),
    }
    return {name: value for name, value in measured.items() if value is not None}


def loss(share: Figure | None) -> Figure | None:
    """1 - a retained share, with its interval."""
    if share is None or share["low"] is None or share["high"] is None:
        return None
    return {
        "value": 1 - share["value"],
        "low": 1 - share["high"],
        "high": 1 - share["low"],
        "n": share["n"],
    }


def segment_gains(scores: Scores) -> dict[str, Figure | None]:
    """Mean and lowest relative gain of the family over the general student, over segments."""
    family, general = scores.family(), scores.ndcg_of(f"{GENERAL}/{RELEASED}")
    if family is None or general is None:
        return {}
    gains, drawn = {}, []
    for number, segment in enumerate(scores.serving):
        rows = scores.inside(segment)
        if general[rows].sum() <= 0:
            continue
        # independent draws of users for each segment
        seed = scores.seed + number
        (_, ours), (_, theirs) = (
            user_means(values[rows], scores.users[rows]) for values in (family, general)
        )
        drawn.append(ratio_draws(ours, theirs, scores.resamples, seed) - 1)
        value = float(ours.sum() / theirs.sum()) - 1
        gains[segment] = with_interval(value, drawn[-1], len(ours))
    if not gains:
        return {}
    average = float(np.mean([gain["value"] for gain in gains.values()]))
    n = sum(gain["n"] or 0 for gain in gains.values())
    return {
        "segments.mean_gain": with_interval(average, np.mean(drawn, axis=0), n),
        "segments.worst_gain": min(gains.values(), key=lambda gain: gain["value"]),
    }


def cost_ratio(metrics: dict[str, Any], verdict: dict[str, Any], *path: str) -> float | None:
    """Teacher ÷ the most expensive released student; None if one of them is unknown."""
    return divide(figure(metrics, "models", TEACHER, *path), highest_cost(metrics, verdict, *path))


def highest_cost(metrics: dict[str, Any], verdict: dict[str, Any], *path: str) -> float | None:
    """The highest cost of a released student; None if one is unknown."""
    costs = costs_of(metrics, verdict, *path)
    known = [cost for cost in costs if cost is not None]
    return max(known) if known and len(known) == len(costs) else None


def costs_of(metrics: dict[str, Any], verdict: dict[str, Any], *path: str) -> list[float | None]:
    """A cost of every released student."""
    return [figure(metrics, "models", f"{s}/{RELEASED}", *path) for s in released_students(verdict)]


def family_bytes(metrics: dict[str, Any], verdict: dict[str, Any]) -> float | None:
    """Total size of all released students; None if one is unknown."""
    costs = costs_of(metrics, verdict, "bytes")
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def family_coverage(
    top: Mapping[str, np.ndarray], cases: pd.DataFrame, scores: Scores, catalogue: int
) -> float | None:
    """Share of the catalogue that the released family recommends to any user on test.

    Args:
        top: model → top k of each test case, int [C, k], in the order of `cases`, padded with 0.
    """
    general = top.get(f"{GENERAL}/{RELEASED}")
    if general is None:
        return None
    rows = (cases["window"] == TEST) & (cases["model"] == f"{GENERAL}/{RELEASED}")
    users = cases.loc[rows, "user"].to_numpy()
    served = general.copy()
    for segment, student in scores.serving.items():
        recommended = top.get(f"{student}/{RELEASED}")
        if recommended is None:
            return None
        inside = np.isin(users, scores.members.get(segment, np.zeros(0, dtype=np.int32)))
        served[inside] = recommended[inside]
    return len(np.unique(served[served > 0])) / catalogue


def segment_decisions(
    ranked: Ranked,
    members: Mapping[str, np.ndarray],
    segments: list[str],
    resamples: int,
    seed: int,
) -> dict[str, dict[str, Figure]]:
    """Gain of each segment's own student over general per user: on validation, and on test.

    On validation only the deciding users count, with the gate's draws.
    """
    decisions: dict[str, dict[str, Figure]] = {}
    for name in segments:
        decisions[name] = {}
        users = members.get(name, np.zeros(0, dtype=np.int32))
        for window, counted in ((VALIDATION, ranked.deciding(users)), (TEST, users)):
            ours, general = (
                ranked.scores(f"{student}/{RELEASED}", window, counted)
                for student in (name, GENERAL)
            )
            if ours is None or general is None or ours.empty:
                continue
            gain = paired_gain(ours.to_numpy(), general.to_numpy(), resamples, seed)
            decisions[name][window] = {
                "value": gain.gain,
                "low": gain.low,
                "high": gain.high,
                "n": gain.n,
            }
    return decisions
