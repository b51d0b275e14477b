"""The release gate: accept or reject each segment's student, and the candidate as a whole.

It fails closed: a missing figure, an empty group or an absent threshold is a FAIL. It decides on
validation, on users held out from every earlier selection; the test window only confirms.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from decant.evaluation.evaluate import ALL
from decant.evaluation.evaluate import RELEASED as RELEASED
from decant.evaluation.intervals import Gain, paired_gain
from decant.evaluation.lookup import divide, figure
from decant.evaluation.metrics import hit, ndcg, user_means
from decant.features.holdout import in_selection
from decant.features.sequences import TEST, VALIDATION
from decant.params.release import Evaluate, Gate
from decant.params.types import GENERAL, TEACHER
from decant.release.checks import (
    best_baseline,
    compression_checks,
    cost_checks,
    group_checks,
    quality_checks,
)

NO_VARIANTS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Segment:
    """Decision on a segment's student; `ships`: accepted, `gain`: in NDCG per user over general."""

    ships: bool
    reason: str
    gain: float | None = None
    lower_bound: float | None = None
    users: int = 0
    test: dict[str, float] | None = None


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
        `passed`, `checks`, `segments`, `variants` (judged by the same rule) and `family`: quality
        of the students as they would be released, by window and group.
    """
    k = evaluation.k
    segments = {
        name: judge_segment(
            name, metrics, cases, members[name], folded, thresholds, evaluation, seed
        )
        for name in sorted(members)
        if name != GENERAL
    }
    all_users = np.unique(np.concatenate([*members.values()]))
    compared = {
        name: judge_segment(
            name, metrics, cases, all_users if first == GENERAL else members[first], folded,
            thresholds, evaluation, seed,
        )
        for name, first in sorted(variants.items())
    }  # fmt: skip
    serving = {name: name if s.ships else GENERAL for name, s in segments.items()}
    # users of merged segments are already among general's
    groups = {name: users for name, users in members.items() if name not in folded}
    family = {w: family_quality(cases, groups, serving, w, k) for w in (VALIDATION, TEST)}
    checks = [
        *quality_checks(metrics, family, thresholds),
        *group_checks(family, groups),
        *compression_checks(hops, {GENERAL, *serving.values()}),
        *cost_checks(metrics, {GENERAL, *serving.values()}, thresholds),
    ]
    return {
        "passed": bool(checks) and all(check.passed for check in checks),
        "checks": [asdict(check) for check in checks],
        "segments": {name: asdict(segment) for name, segment in segments.items()},
        "variants": {
            name: {"of": variants[name], **asdict(variant)} for name, variant in compared.items()
        },
        "family": family,
        "best_baseline": best_baseline(metrics),
    }


def judge_segment(
    name: str,
    metrics: dict[str, Any],
    cases: pd.DataFrame,
    members: np.ndarray,
    folded: list[str],
    thresholds: Gate,
    evaluation: Evaluate,
    seed: int,
) -> Segment:
    """Non-inferiority rule: accept a student only if it gains on validation and its lower bound
    is above -margin.

    A student larger than the gate allows is rejected too, so that a small group without an int8
    graph does not block the whole release. Latency is not considered here, since it never repeats
    exactly and would change the set of released students; `cost_checks` checks it.
    """
    if name in folded:
        return Segment(False, "merged into general", users=len(members))
    ours, general = f"{name}/{RELEASED}", f"{GENERAL}/{RELEASED}"
    k, resamples = evaluation.k, thresholds.resamples
    decision = compare(cases, ours, general, members, VALIDATION, k, resamples, seed, deciding=True)
    if decision is None:
        return Segment(False, "no validation cases to decide on", users=len(members))
    test = compare(cases, ours, general, members, TEST, k, resamples, seed)
    reason = objection(decision, size_ratio(metrics, ours), thresholds)
    return Segment(
        reason is None,
        reason or "better on validation",
        decision.gain,
        decision.lower_bound,
        len(members),
        None if test is None else asdict(test),
    )


def objection(decision: Gain, smaller: float | None, thresholds: Gate) -> str | None:
    """Why a segment's student is rejected, or None; `smaller`: size ratio, teacher ÷ student."""
    if decision.gain <= 0:
        return "not better than general on validation"
    if decision.lower_bound <= -thresholds.margin:
        return f"may lose more than {thresholds.margin}"
    if smaller is not None and smaller < thresholds.min_size_ratio:
        return f"too large: 1/{smaller:.1f} of the teacher, 1/{thresholds.min_size_ratio:g} allowed"
    return None


def size_ratio(metrics: dict[str, Any], model: str) -> float | None:
    """Served bytes, teacher ÷ model; None if one is unknown."""
    teacher, ours = (figure(metrics, "models", name, "bytes") for name in (TEACHER, model))
    return divide(teacher, ours)


def compare(
    cases: pd.DataFrame,
    ours: str,
    theirs: str,
    users: np.ndarray,
    window: str,
    k: int,
    resamples: int,
    seed: int,
    *,
    deciding: bool = False,
) -> Gain | None:
    """Gain in NDCG per user of one model over another; None without cases.

    `deciding`: only the users not used to select epochs or settings.
    """
    a, b = (per_user(cases, model, window, users, k, deciding) for model in (ours, theirs))
    if not len(a) or not a.index.equals(b.index):
        return None
    return paired_gain(a.to_numpy(), b.to_numpy(), resamples, seed)


def per_user(
    cases: pd.DataFrame, model: str, window: str, users: np.ndarray, k: int, deciding: bool
) -> pd.Series:
    """Mean NDCG@k of each user's cases, by user."""
    rows = select(cases, model, window, users)
    if deciding:
        rows = rows[~in_selection(rows["user"].to_numpy())]
    user_ids, means = user_means(ndcg(rows["rank"].to_numpy(), k), rows["user"].to_numpy())
    return pd.Series(means, index=user_ids)


def select(cases: pd.DataFrame, model: str, window: str, users: np.ndarray) -> pd.DataFrame:
    """The cases of one model, window and set of users."""
    mask = (cases["model"] == model) & (cases["window"] == window)
    return cases[mask & cases["user"].isin(users)]


def family_quality(
    cases: pd.DataFrame,
    members: dict[str, np.ndarray],
    serving: dict[str, str],
    window: str,
    k: int,
) -> dict[str, dict[str, float]]:
    """NDCG@k and HR@k per group if every user is served by their accepted student."""
    ranks = {
        name: select(cases, f"{serving.get(name, GENERAL)}/{RELEASED}", window, users)["rank"]
        for name, users in members.items()
    }
    ranks[ALL] = pd.concat(list(ranks.values()))
    return {
        name: {
            "ndcg": float(ndcg(r.to_numpy(), k).mean()),
            "hr": float(hit(r.to_numpy(), k).mean()),
            "cases": len(r),
        }
        for name, r in ranks.items()
        if len(r)
    }
