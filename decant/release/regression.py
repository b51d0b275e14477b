"""Regression check: compare the candidate with the release in production."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from decant.params.load import Params

FIGURE = ("family", "validation", "all", "ndcg")  # path in the gate's verdict.json
MEAN_OVER = "mean_over"  # absent in verdicts of earlier versions: their figures average cases


@dataclass(frozen=True)
class Evidence:
    """Settings and gate verdict (verdict.json) of a release."""

    release: str
    params: Params | None  # None: unreadable, of another version
    verdict: Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """Outcome of a comparison. `drop` is relative: 0.02 is two per cent below production.

    `by_hand`: production is unreadable, so a person has to promote.
    """

    passed: bool
    why: str
    production: str | None = None
    candidate_value: float | None = None
    production_value: float | None = None
    drop: float | None = None
    by_hand: bool = False

    def document(self) -> dict[str, Any]:
        """The content of comparison.json."""
        return asdict(self)


def compare(candidate: Evidence, production: Evidence | None, limit: float) -> Comparison:
    """Compare the NDCG on validation; a relative drop beyond `limit` fails.

    Different sources or protocols are not comparable: this is noted and passes. A candidate without
    the figure fails.
    """
    if production is None:
        return Comparison(True, "nothing is in production yet")
    if production.release == candidate.release:
        return Comparison(True, "already in production", production.release)
    new, old = family_ndcg(candidate.verdict), family_ndcg(production.verdict)
    if new is None:
        why = "the candidate's verdict.json lacks the family's NDCG on validation"
        return Comparison(False, why, production.release)
    problem = why_incomparable(candidate.params, production.params)
    if candidate.verdict.get(MEAN_OVER) != production.verdict.get(MEAN_OVER):
        problem = problem or "one NDCG is a mean over cases, of an earlier version"
    if problem or old is None:
        why = f"not comparable with production: {problem or 'its verdict.json lacks the figure'}"
        return Comparison(True, why, production.release, new)
    drop = (old - new) / old if old > 0 else 0.0
    why = _explain(new, old, drop, limit)
    return Comparison(drop <= limit, why, production.release, new, old, drop)


def why_incomparable(candidate: Params | None, production: Params | None) -> str | None:
    """The settings that make two measurements incomparable, None if comparable."""
    if candidate is None or production is None:
        return "its params.yaml is of another version"
    new, old = protocol(candidate), protocol(production)
    changed = sorted(key for key in {*new, *old} if new.get(key) != old.get(key))
    return f"other {', '.join(changed)}" if changed else None


def protocol(params: Params) -> dict[str, Any]:
    """Settings of the evaluation protocol: source, split, and eligible items."""
    features = params.features.model_dump(
        include={"target_behaviours", "merge_window", "exclude_seen", "baskets"}
    )
    layout: dict[str, dict[str, Any]] = {
        "demo": {"raw": params.raw},
        "files": {"ingest": params.ingest},
    }
    return {
        "source": params.source,
        "split": params.split,
        "evaluate.k": params.evaluate.k,
        **{f"features.{name}": value for name, value in features.items()},
        **layout.get(params.source, {}),
    }


def family_ndcg(verdict: Mapping[str, Any]) -> float | None:
    """NDCG@k on validation of the released students over all users; None if missing."""
    value: Any = verdict
    for key in FIGURE:
        value = value.get(key) if isinstance(value, dict) else None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and math.isfinite(value) else None


def _explain(new: float, old: float, drop: float, limit: float) -> str:
    moved = f"{abs(drop):.1%} {'below' if drop > 0 else 'above'}"
    verdict = "" if drop <= limit else f", more than gate.max_production_drop ({limit:.1%}) allows"
    return f"NDCG {new:.4f} on validation is {moved} production's {old:.4f}{verdict}"
