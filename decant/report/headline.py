"""Main figures of a run for `dvc metrics`, `dvc exp show` and `dvc plots`."""

from collections.abc import Mapping, Sequence
from typing import Any

from decant.evaluation.evaluate import ALL, RELEASED, WINDOWS
from decant.evaluation.lookup import figure
from decant.features.sequences import TEST
from decant.params.types import GENERAL, TEACHER
from decant.report.evidence import Evidence, baselines
from decant.report.scores import FAMILY

QUALITY = ("ndcg", "hr")
RATIOS = ("size", "family.size", "latency", "multiply_adds")
Row = dict[str, Any]


def headline(evidence: Evidence) -> dict[str, Any]:
    """The main figures of a run: quality by window and model or group, ratios, the gate's verdict.

    A group's figures are those of the family as released, on the group's users. Figures that were
    not measured are left out.
    """
    ratios = {name: evidence.figures.get(f"{name}.ratio") for name in RATIOS}
    return {
        **{window: window_quality(evidence, window) for window in WINDOWS},
        "ratio": {
            name.replace(".", "_"): known["value"] for name, known in ratios.items() if known
        },
        "gate": {"passed": evidence.verdict.get("passed") is True},
    }


def window_quality(evidence: Evidence, window: str) -> dict[str, dict[str, float]]:
    """Quality on one window: teacher, best traditional model, family; the family in each group."""
    models, family = evidence.metrics["models"], evidence.verdict.get("family", {}).get(window, {})
    best = str(evidence.verdict.get("best_baseline"))
    measured = {
        TEACHER: figures_of(models, TEACHER, window, ALL),
        "best_traditional": figures_of(models, best, window, ALL),
        FAMILY: figures_of(family, ALL),
        **{group: figures_of(family, group) for group in evidence.students},
    }
    k = evidence.metrics["k"]
    return {
        name: {f"{metric}@{k}": value for metric, value in values.items()}
        for name, values in measured.items()
        if values
    }


def figures_of(content: Mapping[str, Any], *path: str) -> dict[str, float]:
    """The quality figures at a path in nested mappings."""
    known = {metric: figure(content, *path, metric) for metric in QUALITY}
    return {metric: value for metric, value in known.items() if value is not None}


def model_rows(evidence: Evidence) -> list[Row]:
    """Quality of every model on all users of the test window, the best traditional model last."""
    models = evidence.metrics["models"]
    named = {
        **{
            name: figures_of(models, name, TEST, ALL)
            for name in reversed(baselines(evidence.metrics))
        },
        TEACHER: figures_of(models, TEACHER, TEST, ALL),
        GENERAL: figures_of(models, f"{GENERAL}/{RELEASED}", TEST, ALL),
        FAMILY: figures_of(evidence.verdict, FAMILY, TEST, ALL),
    }
    return [{"model": name, **values} for name, values in named.items() if values]


def group_rows(evidence: Evidence) -> list[Row]:
    """Quality in each group on the test window: the teacher, the general student, the family."""
    models, rows = evidence.metrics["models"], []
    for group in evidence.students:
        named = {
            TEACHER: figures_of(models, TEACHER, TEST, group),
            GENERAL: figures_of(models, f"{GENERAL}/{RELEASED}", TEST, group),
            FAMILY: figures_of(evidence.verdict, FAMILY, TEST, group),
        }
        rows += [
            {"group": f"{group}: {name}", **values} for name, values in named.items() if values
        ]
    return rows


def learning_rows(losses: Sequence[float], ndcg: Sequence[float]) -> list[Row]:
    """A training's curve: loss and validation NDCG after each epoch, from 1."""
    pairs = zip(losses, ndcg, strict=True)
    return [
        {"epoch": epoch, "loss": loss, "ndcg": value}
        for epoch, (loss, value) in enumerate(pairs, start=1)
    ]
