"""The release gate: accept or reject each segment's student, and the candidate as a whole.

It fails closed: a missing figure, an empty group or an absent threshold is a FAIL. It decides on
validation, on users held out from every earlier selection. The test window chooses nothing, but a
sure loss on it holds the release until a person decides.
"""

from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from decant.evaluation.evaluate import ALL, ORACLE, RELEASED
from decant.evaluation.intervals import gain_draws, holm, p_value
from decant.features.sequences import TEST, VALIDATION
from decant.params.release import Evaluate, Gate
from decant.params.types import GENERAL, TEACHER
from decant.release.checks import (
    Check,
    at_least,
    best_baseline,
    case_checks,
    compression_checks,
    cost_checks,
    group_checks,
    measured_baselines,
    population_checks,
    quality_checks,
)
from decant.release.decision import DISTILLED, Judge, Segment
from decant.release.quality import Family, GroupQuality, against, recorded
from decant.release.ranked import read_ranked
from decant.release.regression import MEAN_OVER

NO_VARIANTS: Mapping[str, str] = MappingProxyType({})
COLUMNS = ("model", "window", "user", "position", "rank")
USERS = "users"  # what figures are means over; earlier versions: cases


def judge(
    metrics: dict[str, Any],
    cases: pd.DataFrame,
    members: dict[str, np.ndarray],
    folded: list[str],
    hops: dict[str, dict[str, Any]],
    thresholds: Gate,
    evaluation: Evaluate,
    seed: int,
    variants: Mapping[str, str] = NO_VARIANTS,
) -> dict[str, Any]:
    """Decide which segments get their own student, and whether the candidate may be released.

    Args:
        metrics, cases: outputs of `evaluate`.
        members: user indices by student. folded: students merged into general.
        hops: summary of compression by student.
        variants: students compared but never released → the student that serves their group.

    Returns:
        `passed`, `checks`, `held` (sure losses on the test window, for a person to judge),
        `segments`, `variants` (judged by the same rule), `groups` (the family against the teacher
        and the best baseline on deciding users) and `family`: quality of the students as they
        would be released, by window and group; `thresholds_off`: settings that check nothing.
    """
    if fault := unusable(cases, members, folded, variants):
        return rejected(fault)
    # users of merged segments are already among general's
    groups = {name: users for name, users in members.items() if name not in folded}
    baselines = measured_baselines(metrics, cases["model"].unique())
    models = [f"{name}/{hop}" for name in groups for hop in (DISTILLED, RELEASED)]
    compared = [TEACHER, *baselines, *models]
    ranked = read_ranked(cases, evaluation.k, [ORACLE], compared)
    decisions = Judge(ranked, metrics, hops, thresholds, seed)
    evidence = decisions.collect(members, folded)
    segments = decisions.segments(members, folded, evidence)
    serving = {name: name if s.ships else GENERAL for name, s in segments.items()}
    family = Family(groups, serving)
    judged = {
        name: decisions.variant(
            name, first, family.users if first == GENERAL else members[first], folded, evidence
        )
        for name, first in sorted(variants.items())
    }
    best = best_baseline(ranked, baselines, family.users)
    qualities = {
        name: against(decisions, family, users, best)
        for name, users in {**dict(sorted(groups.items())), ALL: family.users}.items()
        if len(users)
    }
    windows = {window: recorded(ranked, family, window) for window in (VALIDATION, TEST)}
    checks = [
        *population_checks(ranked, compared, groups),
        *family_checks(decisions, family, qualities, best),
        *case_checks(windows, groups),
    ]
    return {
        "passed": bool(checks) and all(check.passed for check in checks),
        "held": sure_losses(decisions, family, segments, best),
        "checks": [asdict(check) for check in checks],
        "segments": {name: asdict(segment) for name, segment in segments.items()},
        "variants": {
            name: {"of": variants[name], **asdict(variant)} for name, variant in judged.items()
        },
        "groups": {name: quality.document() for name, quality in qualities.items()},
        "family": windows,
        MEAN_OVER: USERS,
        "best_baseline": best,
        "thresholds_off": thresholds.without_effect(),
    }


def family_checks(
    decisions: Judge, family: Family, qualities: Mapping[str, GroupQuality], best: str | None
) -> list[Check]:
    """Quality and costs of the family as it would be released.

    Args:
        qualities: of every group and of all users. best: the best baseline.
    """
    gate, users, students = decisions.gate, family.users, family.students()
    groups = {name: quality for name, quality in qualities.items() if name != ALL}
    small = against(decisions, family, users, best, only=GENERAL)
    return [
        *quality_checks(qualities[ALL], best, gate),
        *group_checks(groups, small, set(students) - {GENERAL}, best, gate),
        *compression_checks(decisions, students),
        *cost_checks(decisions.metrics, students, gate),
    ]


def unusable(
    cases: pd.DataFrame,
    members: Mapping[str, np.ndarray],
    folded: list[str],
    variants: Mapping[str, str],
) -> str | None:
    """Why nothing can be judged, or None."""
    if missing := [name for name in COLUMNS if name not in cases]:
        return f"the cases have no column {', '.join(missing)}"
    if GENERAL not in members or GENERAL in folded:
        return f"there is no `{GENERAL}` student"
    if not any(map(len, members.values())):
        return "the groups have no users"
    if unknown := [f"{n} of {first}" for n, first in variants.items() if first not in members]:
        return f"variants of unknown students: {', '.join(unknown)}"
    return None


def rejected(fault: str) -> dict[str, Any]:
    """The verdict on evidence that cannot be read."""
    return {
        "passed": False,
        "held": [],
        "checks": [asdict(at_least("input", None, 1, fault))],
        **{name: {} for name in ("segments", "variants", "groups")},
        "family": {VALIDATION: {}, TEST: {}},
        MEAN_OVER: USERS,
        "best_baseline": None,
        "thresholds_off": [],
    }


def sure_losses(
    decisions: Judge, family: Family, segments: Mapping[str, Segment], best: str | None
) -> list[str]:
    """What the test window shows to be surely worse than promised, one line each.

    Accepted students are compared with general, all together (Holm 1979); the family with the
    teacher and the best baseline.
    """
    losses, p_values, lines = {}, {}, []
    for name in [name for name, segment in segments.items() if segment.ships]:
        pair = decisions.pair(name, GENERAL, TEST, family.members[name])
        if pair is None:
            lines.append(f"{name}: its student was not measured on the test window")
        else:
            ours, theirs = pair
            draws = gain_draws(theirs, ours, decisions.gate.resamples, decisions.seed)
            losses[name] = float((theirs - ours).mean())
            p_values[name] = p_value(theirs - ours, draws, 0.0)
    levels = holm(p_values)
    lines += [
        f"{name}: its student loses {losses[name]:.4f} NDCG to the general one on the "
        f"test window (p = {p_values[name]:.4f})"
        for name in losses
        if not p_values[name] > levels[name]
    ]
    gate, on_test = decisions.gate, against(decisions, family, family.users, best, TEST)
    for what, ratio, threshold in (
        ("the teacher's", on_test.retention, gate.min_retention),
        (f"{best}'s", on_test.lift, 1 + gate.min_lift),
    ):
        if ratio is None:
            lines.append(f"the family was not compared with {what} NDCG on the test window")
        elif not ratio.upper_bound >= threshold:
            lines.append(
                f"the family has {ratio.value:.1%} of {what} NDCG on the test window, surely below "
                f"{threshold:.1%}"
            )
    return lines
