"""Checks of the gate on all released students together; a missing figure is a FAIL."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from decant.evaluation.baselines import NAMES
from decant.evaluation.evaluate import ALL
from decant.evaluation.evaluate import RELEASED as RELEASED
from decant.evaluation.intervals import Ratio
from decant.evaluation.lookup import divide, figure
from decant.features.sequences import VALIDATION
from decant.params.release import Gate
from decant.params.types import GENERAL, TEACHER
from decant.release.decision import DISTILLED, Judge
from decant.release.quality import GroupQuality
from decant.release.ranked import Ranked

SMALL = "small_groups"  # those without enough users of their own for a decision
SHOWN = 3  # models that a failed check names


@dataclass(frozen=True)
class Check:
    """One line of the verdict; `value` is None when the figure is missing.

    `bound`: the one-sided 95 % bound that decided, where one did.
    """

    name: str
    value: float | None
    threshold: float
    passed: bool
    why: str
    bound: float | None = None


def population_checks(
    ranked: Ranked, compared: Iterable[str], groups: Mapping[str, np.ndarray]
) -> list[Check]:
    """All compared models ranked the same cases, and each user belongs to exactly one group."""
    names = sorted({*compared})
    usable = {*ranked.ndcg[VALIDATION].columns}
    named = [
        f"{name}: {ranked.problems.get(name, 'no case was ranked')}"
        for name in names
        if name not in usable
    ]
    more = f"; {len(named) - SHOWN} more" if len(named) > SHOWN else ""
    shown = f": {'; '.join(named[:SHOWN])}{more}" if named else ""
    users = np.unique(np.concatenate([f.index.to_numpy() for f in ranked.ndcg.values()]))
    member, times = np.unique(np.concatenate([*groups.values()]), return_counts=True)
    in_one = float(np.isin(users, member[times == 1]).mean()) if len(users) else None
    return [
        at_least(
            "population",
            len(names) - len(named),
            len(names),
            f"models that ranked the same cases, each once{shown}",
        ),
        at_least("groups", in_one, 1, "evaluated users who belong to exactly one group, share"),
    ]


def quality_checks(everybody: GroupQuality, best: str | None, thresholds: Gate) -> list[Check]:
    """Quality of the family relative to the teacher and to the best baseline, on all users."""
    return [
        surely_at_least(
            "retention",
            everybody.retention,
            thresholds.min_retention,
            "family ÷ teacher, NDCG of deciding users",
        ),
        surely_at_least(
            "lift",
            over(everybody.lift),
            thresholds.min_lift,
            f"family over {best or 'the best baseline'}, relative, NDCG of deciding users",
        ),
    ]


def group_checks(
    qualities: Mapping[str, GroupQuality], small: GroupQuality | None, thresholds: Gate
) -> list[Check]:
    """Quality of each group relative to the teacher and, if asked for, to the best baseline.

    Groups with too few deciding users of their own are judged by the general student, which serves
    them, on all deciding users.
    """
    decided = {name: quality for name, quality in qualities.items() if quality.enough}
    few = [name for name in qualities if name not in decided]
    if few and small is not None:
        decided[SMALL] = small
    checks = []
    for name, quality in decided.items():
        whose = f"{name}'s" if name != SMALL else "all"
        who = "family" if name != SMALL else f"general, which serves {', '.join(few)},"
        checks.append(
            surely_at_least(
                f"retention.{name}",
                quality.retention,
                thresholds.min_group_retention,
                f"{who} ÷ teacher, NDCG of {whose} deciding users",
            )
        )
        if thresholds.min_group_lift is not None:
            checks.append(
                surely_at_least(
                    f"lift.{name}",
                    over(quality.lift),
                    thresholds.min_group_lift,
                    f"{who} over the best baseline, relative, NDCG of {whose} deciding users",
                )
            )
    return checks


def case_checks(family: dict[str, Any], members: Mapping[str, np.ndarray]) -> list[Check]:
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


def compression_checks(judge: Judge, serving: Mapping[str, np.ndarray]) -> list[Check]:
    """No released student lost more in compression than allowed.

    General must have kept its quality surely. The other students' gain over general is decided
    after compression; they must not surely have lost it.

    Args:
        serving: released student → users by whom it is judged; general's are all users.
    """
    why = f"released ÷ {DISTILLED}, NDCG of deciding users"
    checks = []
    for name, users in sorted(serving.items()):
        ratio, allowed = judge.compression(name, users), judge.allowed(name)
        test = surely_at_least if name == GENERAL else possibly_at_least
        checks.append(test(f"compression.{name}", ratio, allowed, why))
    return checks


def cost_checks(metrics: dict[str, Any], students: Iterable[str], thresholds: Gate) -> list[Check]:
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


def measured_baselines(metrics: dict[str, Any]) -> list[str]:
    """The baselines that must be compared: all, except those that the evaluation left out.

    One that was measured all the same is compared too.
    """
    left_out, models = metrics.get("left_out", {}), metrics.get("models", {})
    return [name for name in NAMES if name not in left_out or name in models]


def best_baseline(metrics: dict[str, Any]) -> str | None:
    """The baseline that is best on validation; None if one was not measured."""
    expected = measured_baselines(metrics)
    quality = {n: figure(metrics, "models", n, VALIDATION, ALL, "ndcg") for n in expected}
    known = {name: value for name, value in quality.items() if value is not None}
    complete = known and len(known) == len(quality)
    return max(known, key=lambda name: known[name]) if complete else None


def over(ratio: Ratio | None) -> Ratio | None:
    """A ratio as a relative difference: 0.02 is two per cent above."""
    if ratio is None:
        return None
    return Ratio(ratio.value - 1, ratio.lower_bound - 1, ratio.upper_bound - 1, ratio.n)


def surely_at_least(name: str, ratio: Ratio | None, threshold: float | None, why: str) -> Check:
    """A check that passes only if the lower bound reaches the threshold."""
    return _bounded(name, ratio, None if ratio is None else ratio.lower_bound, threshold, why)


def possibly_at_least(name: str, ratio: Ratio | None, threshold: float | None, why: str) -> Check:
    """A check that passes unless the upper bound is below the threshold."""
    return _bounded(name, ratio, None if ratio is None else ratio.upper_bound, threshold, why)


def _bounded(
    name: str, ratio: Ratio | None, bound: float | None, threshold: float | None, why: str
) -> Check:
    check = at_least(name, bound, threshold, why)
    value = ratio.value if ratio is not None and check.value is not None else None
    text = check.why
    if ratio is not None and check.value is not None:
        unsure = not check.passed and ratio.value >= check.threshold
        text += f"; {ratio.n:,} users" + (" are too few to show it" if unsure else "")
    return Check(name, value, check.threshold, check.passed, text, check.value)


def at_least(name: str, value: float | None, threshold: float | None, why: str) -> Check:
    """A check that passes only if value and threshold exist and the value reaches the threshold."""
    if threshold is None or math.isnan(threshold):
        return Check(name, value, 0.0, False, f"{why}: no threshold")
    if value is None or math.isnan(value):
        return Check(name, None, threshold, False, f"{why}: not measured")
    return Check(name, value, threshold, value >= threshold, why)
