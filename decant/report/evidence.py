"""All figures of the report page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from decant.evaluation.evaluate import ALL, ORACLE, RELEASED
from decant.evaluation.lookup import figure
from decant.features.sequences import TEST
from decant.params.models import Student
from decant.params.release import Evaluate, Gate
from decant.params.types import GENERAL, TEACHER
from decant.release.ranked import read_ranked
from decant.report.baskets import BasketRow, basket_table
from decant.report.figures import family_coverage, figures, segment_decisions
from decant.report.results import Figure
from decant.report.scores import FAMILY, Scores, read_scores, share


@dataclass(frozen=True)
class Share:
    """Share of the best possible NDCG that one model reaches on one group."""

    name: str
    group: str
    share: Figure | None


@dataclass(frozen=True)
class Origin:
    """Origin of the data: summaries of `validate`, `features` and `segments`."""

    validated: dict[str, Any]
    features: dict[str, Any]
    segments: dict[str, Any]


@dataclass(frozen=True)
class Evidence:
    """The evidence of one run.

    `figures`: see `decant.report.figures`. `decisions`: gain over general, by segment and window.
    `retention`: share of the teacher's NDCG, by student on its own group, and the family's on all
    users. `oracle`: empty if the best possible ranking is unknown. `baskets`: the protocol
    `next basket`, empty without baskets. `hops`: summary of compression, by student. `margin`: of
    non-inferiority, a share of general's NDCG.
    """

    metrics: dict[str, Any]
    verdict: dict[str, Any]
    figures: dict[str, Figure]
    decisions: dict[str, dict[str, Figure]]
    retention: dict[str, Figure | None]
    lift: Figure | None
    oracle: list[Share]
    baskets: list[BasketRow]
    coverage: float | None
    hops: dict[str, dict[str, Any]]
    students: Mapping[str, Student]
    origin: Origin
    margin: float
    resamples: int
    deciding_resamples: int


def gather(
    metrics: dict[str, Any],
    verdict: dict[str, Any],
    cases: pd.DataFrame,
    top: Mapping[str, np.ndarray],
    members: Mapping[str, np.ndarray],
    hops: dict[str, dict[str, Any]],
    students: Mapping[str, Student],
    origin: Origin,
    evaluation: Evaluate,
    gate: Gate,
    seed: int,
    baskets: pd.DataFrame | None = None,
) -> Evidence:
    """Compute every figure of the page.

    Args:
        metrics, cases, top, baskets: outputs of `evaluate`. verdict: output of the gate.
        members: user indices by student; general's are in no other group.
    """
    scores = read_scores(cases, verdict, members, evaluation, seed)
    best = verdict.get("best_baseline")
    segments = [name for name in students if name != GENERAL]
    ranked = read_ranked(cases, evaluation.k, partial=[ORACLE])
    return Evidence(
        metrics=metrics,
        verdict=verdict,
        figures=figures(metrics, verdict, scores),
        decisions=segment_decisions(ranked, members, segments, gate.resamples, seed),
        retention={
            **{
                name: share(scores, f"{name}/{RELEASED}", TEACHER, own_group(metrics, name))
                for name in students
            },
            FAMILY: share(scores, FAMILY, TEACHER),
        },
        lift=share(scores, FAMILY, str(best)) if best else None,
        oracle=oracle_shares(metrics, scores, list(students)),
        baskets=basket_table(baskets, metrics, verdict, members, evaluation.resamples, seed),
        coverage=family_coverage(top, cases, scores, int(metrics["catalogue"])),
        hops=hops,
        students=students,
        origin=origin,
        margin=gate.margin,
        resamples=evaluation.resamples,
        deciding_resamples=gate.resamples,
    )


def baselines(metrics: dict[str, Any]) -> list[str]:
    """The traditional models, best on test first."""
    names = [n for n in metrics["models"] if n not in (TEACHER, ORACLE) and "/" not in n]
    return sorted(names, key=lambda n: -(figure(metrics, "models", n, TEST, ALL, "ndcg") or 0))


def own_group(metrics: dict[str, Any], student: str) -> str:
    """A student's group; for general, all users if every user is in a segment."""
    cases = figure(metrics, "groups", student, f"{TEST}_cases")
    return ALL if student == GENERAL and not cases else student


def oracle_shares(metrics: dict[str, Any], scores: Scores, students: list[str]) -> list[Share]:
    """Share of every model as it would be served; empty without an oracle."""
    if ORACLE not in metrics["models"]:
        return []
    segments = [name for name in students if name != GENERAL]
    served = [(f"{name}/{RELEASED}", own_group(metrics, name)) for name in segments]
    models = [
        *((name, ALL) for name in reversed(baselines(metrics))),
        (TEACHER, ALL),
        (f"{GENERAL}/{RELEASED}", ALL),
        *((name, group) for name, group in served if name in metrics["models"]),
        (FAMILY, ALL),
    ]
    return [Share(name, group, share(scores, name, ORACLE, group)) for name, group in models]
