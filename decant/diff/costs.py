"""Costs of two runs: size, multiply-adds and time of each model; and both gate verdicts."""

import json
from collections.abc import Mapping
from typing import Any

from decant.diff.cache import NotCachedError
from decant.diff.sides import Side
from decant.evaluation.evaluate import RELEASED
from decant.evaluation.lookup import figure
from decant.params.types import GENERAL, TEACHER
from decant.report.figures import family_bytes, highest_cost
from decant.report.scores import FAMILY, serving

MEASURES = {  # name → path in a model's entry of metrics.json
    "bytes": ("bytes",),
    "multiply_adds": ("multiply_adds",),
    "p50_us": ("latency_us", "p50"),
}
TRAINED_ON = "trained_on"  # training predictions over all epochs: a machine-independent cost
Costs = dict[str, float | None]


def compare_costs(a: Side, b: Side) -> list[dict[str, Any]]:
    """Rows of model, and for each measure the values in A and B; None if unknown.

    The family has the total bytes of its students, and the multiply-adds and time of the most
    expensive one.
    """
    rows = []
    for name in models_of(a, b):
        both = [costs_of(side, name) for side in (a, b)]
        if any(value is not None for costs in both for value in costs.values()):
            values = {measure: [costs[measure] for costs in both] for measure in both[0]}
            rows.append({"model": name, **values})
    return rows


def models_of(a: Side, b: Side) -> list[str]:
    """Teacher, family, and the students of both sides."""
    known = [name for side in (a, b) for name in side.metrics.get("models", {})]
    students = [n.removesuffix(f"/{RELEASED}") for n in known if n.endswith(f"/{RELEASED}")]
    return list(dict.fromkeys([TEACHER, FAMILY, GENERAL, *sorted(students)]))


def costs_of(side: Side, name: str) -> Costs:
    """The costs of one model of a side, or of its family."""
    if name == FAMILY:
        metrics, verdict = side.metrics, side.verdict
        costs = {m: highest_cost(metrics, verdict, *path) for m, path in MEASURES.items()}
        return {**costs, "bytes": family_bytes(metrics, verdict), TRAINED_ON: None}
    model = name if name == TEACHER else f"{name}/{RELEASED}"
    costs = {m: figure(side.metrics, "models", model, *path) for m, path in MEASURES.items()}
    return {**costs, TRAINED_ON: trained_on(side, name)}


def trained_on(side: Side, name: str) -> float | None:
    """Number of predictions that a model was trained on; None without its summary."""
    try:
        content = side.outputs.read(f"data/models/{name}/summary.json")
        return figure(json.loads(content), "events")
    except (NotCachedError, ValueError):
        return None


def compare_gates(a: Side, b: Side) -> dict[str, Any]:
    """Each side's verdict with its failed checks, and the groups served by another model."""
    return {
        "a": gate_of(a.verdict),
        "b": gate_of(b.verdict),
        "serving": served_otherwise(a.verdict, b.verdict),
    }


def gate_of(verdict: Mapping[str, Any]) -> dict[str, Any] | None:
    """Summary of a verdict: passed, number of checks, failed checks; None without a verdict."""
    if not verdict:
        return None
    checks = verdict.get("checks", [])
    failed = [
        {key: check.get(key) for key in ("name", "value", "bound", "threshold", "why")}
        for check in checks
        if check.get("passed") is not True
    ]
    return {"passed": verdict.get("passed") is True, "checks": len(checks), "failed": failed}


def served_otherwise(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Groups served by their own student on only one side, with the gate's reason in B."""
    if not a or not b:
        return []
    before, now = serving(dict(a)), serving(dict(b))
    reasons = b.get("segments", {})
    return [
        {
            "group": group,
            "a": before.get(group),
            "b": now.get(group),
            "reason": reasons.get(group, {}).get("reason"),
        }
        for group in sorted({*before, *now})
        if before.get(group) != now.get(group)
    ]
