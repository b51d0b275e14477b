"""Checks of the gate on all released students together; a missing figure is a FAIL."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from decant.evaluation.baselines import NAMES
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
BEST = "the best baseline"  # where it is not known
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
    enough = thresholds.min_deciding_users
    return [
        surely_at_least(
            "retention",
            everybody.retention,
            thresholds.min_retention,
            "family ÷ teacher, NDCG of deciding users",
            enough,
        ),
        surely_at_least(
            "lift",
            over(everybody.lift),
            thresholds.min_lift,
            f"family over {best or BEST}, relative, NDCG of deciding users",
            enough,
        ),
    ]


def group_checks(
    qualities: Mapping[str, GroupQuality],
    small: GroupQuality | None,
    own: Iterable[str],
    best: str | None,
    thresholds: Gate,
) -> list[Check]:
    """Quality of each group relative to the teacher and, if asked for, to the `best` baseline.

    Groups with too few deciding users are judged by the general student, which serves them, on all
    deciding users; those that get a student of their own (`own`) never.
    """
    served, enough = {*own}, thresholds.min_deciding_users
    decided = {n: quality for n, quality in qualities.items() if quality.enough or n in served}
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
                enough,
            )
        )
        if thresholds.min_group_lift is not None:
            checks.append(
                surely_at_least(
                    f"lift.{name}",
                    over(quality.lift),
                    thresholds.min_group_lift,
                    f"{who} over {best or BEST}, relative, NDCG of {whose} deciding users",
                    enough,
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
        check = f"compression.{name}"
        checks.append(
            surely_at_least(
                check, ratio, allowed, f"{why}, lower bound", judge.gate.min_deciding_users
            )
            if name == GENERAL
            else possibly_at_least(check, ratio, allowed, f"{why}, upper bound")
        )
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
        known = [cost for cost in costs if cost is not None and cost > 0]
        highest = max(known) if len(known) == len(costs) and known else None
        why = f"teacher ÷ most expensive released student, {' '.join(path)}"
        checks.append(at_least(f"{name}_ratio", divide(teacher, highest), threshold, why))
    return checks


def measured_baselines(metrics: dict[str, Any], ranked: Iterable[str]) -> list[str]:
    """The baselines that must be compared: all, except those that the evaluation left out.

    One that was measured or `ranked` all the same is compared too.
    """
    left_out, known = metrics.get("left_out") or {}, {*(metrics.get("models") or {}), *ranked}
    return [name for name in NAMES if name not in left_out or name in known]


def best_baseline(ranked: Ranked, expected: Iterable[str], users: np.ndarray) -> str | None:
    """The baseline that is best for the deciding ones of `users`; None if one was not measured.

    The family is better than every baseline if it is better than this one.
    """
    deciding = ranked.deciding(users)
    quality = {name: ranked.scores(name, VALIDATION, deciding) for name in expected}
    means = {n: float(s.mean()) for n, s in quality.items() if s is not None and not s.empty}
    complete = means and len(means) == len(quality)
    return max(means, key=lambda name: means[name]) if complete else None


def over(ratio: Ratio | None) -> Ratio | None:
    """A ratio as a relative difference: 0.02 is two per cent above."""
    if ratio is None:
        return None
    return replace(
        ratio,
        value=ratio.value - 1,
        lower_bound=ratio.lower_bound - 1,
        upper_bound=ratio.upper_bound - 1,
    )


def surely_at_least(
    name: str, ratio: Ratio | None, threshold: float | None, why: str, enough: int
) -> Check:
    """A check that passes only if the lower bound reaches the threshold.

    It fails if fewer than `enough` users have a hit by one of the two.
    """
    check = _bounded(name, ratio, None if ratio is None else ratio.lower_bound, threshold, why)
    if ratio is None or ratio.informative >= enough:
        return check
    few = f"{why}: too few to decide, {ratio.informative} users with a hit, of {enough}"
    return replace(check, passed=False, why=few)


def possibly_at_least(name: str, ratio: Ratio | None, threshold: float | None, why: str) -> Check:
    """A check that passes unless the upper bound is below the threshold."""
    return _bounded(name, ratio, None if ratio is None else ratio.upper_bound, threshold, why)


def _bounded(
    name: str, ratio: Ratio | None, bound: float | None, threshold: float | None, why: str
) -> Check:
    check = at_least(name, bound, threshold, why)
    value = ratio.value if ratio is not None and check.value is not None else None
    decided = check.value if check.value is not None and math.isfinite(check.value) else None
    text = check.why
    if ratio is not None and check.value is not None:
        unsure = not check.passed and ratio.value >= check.threshold
        text += f"; {ratio.n:,} users" + (" are too few to show it" if unsure else "")
    return Check(name, value, check.threshold, check.passed, text, decided)


def at_least(name: str, value: float | None, threshold: float | None, why: str) -> Check:
    """A check that passes only if value and threshold exist and the value reaches the threshold."""
    if threshold is None or math.isnan(threshold):
        return Check(name, value, 0.0, False, f"{why}: no threshold")
    if value is None or math.isnan(value):
        return Check(name, None, threshold, False, f"{why}: not measured")
    return Check(name, value, threshold, value >= threshold, why)
