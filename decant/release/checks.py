"""Checks of the gate on all released students together; a missing figure is a FAIL."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from decant.evaluation.baselines import NAMES
from decant.evaluation.evaluate import ALL
from decant.evaluation.evaluate import RELEASED as RELEASED
from decant.evaluation.lookup import divide, figure, minus_one
from decant.features.sequences import VALIDATION
from decant.params.release import Gate
from decant.params.types import GENERAL, TEACHER


@dataclass(frozen=True)
class Check:
    """One line of the verdict; `value` is None when the figure is missing."""

    name: str
    value: float | None
    threshold: float
    passed: bool
    why: str


def quality_checks(
    metrics: dict[str, Any], family: dict[str, Any], thresholds: Gate
) -> list[Check]:
    """Quality relative to the teacher and to the best baseline."""
    ours = figure(family, VALIDATION, ALL, "ndcg")
    teacher = figure(metrics, "models", TEACHER, VALIDATION, ALL, "ndcg")
    best = best_baseline(metrics)
    bar = figure(metrics, "models", best, VALIDATION, ALL, "ndcg") if best else None
    return [
        at_least(
            "retention",
            divide(ours, teacher),
            thresholds.min_retention,
            "family ÷ teacher, NDCG on validation",
        ),
        at_least(
            "lift",
            minus_one(divide(ours, bar)),
            thresholds.min_lift,
            f"family over {best or 'the best baseline'}, relative, NDCG on validation",
        ),
    ]


def best_baseline(metrics: dict[str, Any]) -> str | None:
    """The baseline that is best on validation; None if one was not measured.

    Baselines that the evaluation left out, with a reason, do not count.
    """
    expected = [name for name in NAMES if name not in metrics.get("left_out", {})]
    quality = {n: figure(metrics, "models", n, VALIDATION, ALL, "ndcg") for n in expected}
    known = {name: value for name, value in quality.items() if value is not None}
    complete = known and len(known) == len(quality)
    return max(known, key=lambda name: known[name]) if complete else None


def group_checks(family: dict[str, Any], members: dict[str, np.ndarray]) -> list[Check]:
    """Every group was evaluated; general's may be empty if all users are in segments."""
    return [
        at_least(
            f"cases.{name}",
            figure(family, VALIDATION, name, "cases"),
            1,
            "validation cases of the group",
        )
        for name in sorted(members)
        if len(members[name]) or name != GENERAL
    ]


def compression_checks(hops: dict[str, dict[str, Any]], students: set[str]) -> list[Check]:
    """No released student lost more in compression than allowed."""
    checks = []
    for name in sorted(students):
        before = figure(hops, name, "distilled", "ndcg")
        after = figure(hops, name, RELEASED, "ndcg")
        checks.append(
            at_least(
                f"compression.{name}",
                divide(after, before),
                figure(hops, name, "allowed"),
                "released ÷ distilled, NDCG on validation",
            )
        )
    return checks


def cost_checks(metrics: dict[str, Any], students: set[str], thresholds: Gate) -> list[Check]:
    """The most expensive released student relative to the teacher."""
    checks = []
    for name, threshold, path in (
        ("size", thresholds.min_size_ratio, ("bytes",)),
        ("latency", thresholds.min_latency_ratio, ("latency_us", "p50")),
    ):
        teacher = figure(metrics, "models", TEACHER, *path)
        costs = [figure(metrics, "models", f"{s}/{RELEASED}", *path) for s in sorted(students)]
        known = [cost for cost in costs if cost is not None]
        highest = max(known) if len(known) == len(costs) and known else None
        why = f"teacher ÷ most expensive released student, {' '.join(path)}"
        checks.append(at_least(f"{name}_ratio", divide(teacher, highest), threshold, why))
    return checks


def at_least(name: str, value: float | None, threshold: float | None, why: str) -> Check:
    """A check that passes only if value and threshold exist and the value reaches the threshold."""
    if threshold is None or math.isnan(threshold):
        return Check(name, value, 0.0, False, f"{why}: no threshold")
    if value is None or math.isnan(value):
        return Check(name, None, threshold, False, f"{why}: not measured")
    return Check(name, value, threshold, value >= threshold, why)
