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
from decant.release.quality import Family, against, recorded
from decant.release.ranked import read_ranked
from decant.release.regression import MEAN_OVER

NO_VARIANTS: Mapping[str, str] = MappingProxyType({})
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
        would be released, by window and group.
    """
    ranked = read_ranked(cases, evaluation.k, partial=[ORACLE])
    decisions = Judge(ranked, metrics, hops, thresholds, seed)
    segments = decisions.segments(members, folded)
    # users of merged segments are already among general's
    groups = {name: users for name, users in members.items() if name not in folded}
    serving = {name: name if s.ships else GENERAL for name, s in segments.items()}
    family = Family(groups, serving)
    compared = {
        name: decisions.variant(
            name, first, family.users if first == GENERAL else members[first], members, folded
        )
        for name, first in sorted(variants.items())
    }
    best = best_baseline(metrics)
    everybody = against(decisions, family, family.users, best)
    qualities = {
        name: against(decisions, family, users, best)
        for name, users in sorted(groups.items())
        if len(users)
    }
    windows = {window: recorded(ranked, family, window) for window in (VALIDATION, TEST)}
    models = [f"{name}/{hop}" for name in groups for hop in (DISTILLED, RELEASED)]
    checks = [
        *population_checks(ranked, [TEACHER, *measured_baselines(metrics), *models], groups),
        *quality_checks(everybody, best, thresholds),
        *group_checks(
            qualities, against(decisions, family, family.users, best, only=GENERAL), thresholds
        ),
        *case_checks(windows, groups),
        *compression_checks(decisions, family.students()),
        *cost_checks(metrics, family.students(), thresholds),
    ]
    return {
        "passed": bool(checks) and all(check.passed for check in checks),
        "held": sure_losses(decisions, family, segments, best),
        "checks": [asdict(check) for check in checks],
        "segments": {name: asdict(segment) for name, segment in segments.items()},
        "variants": {
            name: {"of": variants[name], **asdict(variant)} for name, variant in compared.items()
        },
        "groups": {
            name: quality.document() for name, quality in {ALL: everybody, **qualities}.items()
        },
        "family": windows,
        MEAN_OVER: USERS,
        "best_baseline": best,
    }


def sure_losses(
    decisions: Judge, family: Family, segments: Mapping[str, Segment], best: str | None
) -> list[str]:
    """What the test window shows to be surely worse than promised, one line each.

    Accepted students are compared with general, all together (Holm 1979); the family with the
    teacher and the best baseline.
    """
    losses, p_values = {}, {}
    for name, segment in segments.items():
        pair = decisions.pair(name, GENERAL, TEST, family.members[name]) if segment.ships else None
        if pair is not None:
            ours, theirs = pair
            draws = gain_draws(theirs, ours, decisions.gate.resamples, decisions.seed)
            losses[name] = float((theirs - ours).mean())
            p_values[name] = p_value(theirs - ours, draws, 0.0)
    levels = holm(p_values)
    lines = [
        f"{name}: its student loses {losses[name]:.4f} NDCG to the general one on the "
        f"test window (p = {p_values[name]:.4f})"
        for name in losses
        if p_values[name] <= levels[name]
    ]
    gate, on_test = decisions.gate, against(decisions, family, family.users, best, TEST)
    for what, ratio, threshold in (
        ("the teacher's", on_test.retention, gate.min_retention),
        (f"{best}'s", on_test.lift, 1 + gate.min_lift),
    ):
        if ratio is not None and ratio.upper_bound < threshold:
            lines.append(
                f"the family has {ratio.value:.1%} of {what} NDCG on the test window, surely below "
                f"{threshold:.1%}"
            )
    return lines
