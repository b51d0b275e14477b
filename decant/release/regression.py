"""The candidate against what is in production: is the new family worse where both can be judged?"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from decant.params.load import Params

FIGURE = ("family", "validation", "all", "ndcg")  # within verdict.json; the gate made it


@dataclass(frozen=True)
class Evidence:
    """What is known of a family: its settings, and the gate's verdict.json."""

    release: str
    params: Params | None  # None: they are of another version and cannot be read
    verdict: Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """The outcome. `drop` is relative: 0.02 is two per cent worse than production.

    `by_hand`: production itself cannot be read, so that a person has to promote.
    """

    passed: bool
    why: str
    production: str | None = None
    candidate_value: float | None = None
    production_value: float | None = None
    drop: float | None = None
    by_hand: bool = False

    def document(self) -> dict[str, Any]:
        """As it is kept in a release."""
        return asdict(self)


def compare(candidate: Evidence, production: Evidence | None, limit: float) -> Comparison:
    """Compare the families' NDCG on validation; a relative drop beyond `limit` does not pass.

    Other sources and other protocols cannot be compared: that is said and does not block. A
    candidate without the figure does not pass.
    """
    if production is None:
        return Comparison(True, "nothing is in production yet")
    if production.release == candidate.release:
        return Comparison(True, "it is in production already", production.release)
    new, old = family_ndcg(candidate.verdict), family_ndcg(production.verdict)
    if new is None:
        why = "the candidate's verdict.json does not hold the family's NDCG on validation"
        return Comparison(False, why, production.release)
    problem = why_incomparable(candidate.params, production.params)
    if problem or old is None:
        why = f"not comparable with production: {problem or 'its verdict.json has no such figure'}"
        return Comparison(True, why, production.release, new)
    drop = (old - new) / old if old > 0 else 0.0
    why = _explain(new, old, drop, limit)
    return Comparison(drop <= limit, why, production.release, new, old, drop)


def why_incomparable(candidate: Params | None, production: Params | None) -> str | None:
    """The settings that make two measurements different things; None if there are none."""
    if candidate is None or production is None:
        return "its params.yaml is of another version"
    new, old = protocol(candidate), protocol(production)
    changed = sorted(key for key in {*new, *old} if new.get(key) != old.get(key))
    return f"other {', '.join(changed)}" if changed else None


def protocol(params: Params) -> dict[str, Any]:
    """What was asked of the models: the source, the split, and which items count."""
    features = params.features.model_dump(
        include={"target_behaviours", "merge_window", "exclude_seen"}
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
    """NDCG@k on validation of the family as it would serve everybody; None if it is missing."""
    value: Any = verdict
    for key in FIGURE:
        value = value.get(key) if isinstance(value, dict) else None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and math.isfinite(value) else None


def _explain(new: float, old: float, drop: float, limit: float) -> str:
    moved = f"{abs(drop):.1%} {'below' if drop > 0 else 'above'}"
    verdict = "" if drop <= limit else f", more than gate.max_production_drop ({limit:.1%}) allows"
    return f"NDCG {new:.4f} on validation is {moved} production's {old:.4f}{verdict}"
