"""The protocol `next basket` in the report: the family beside the best traditional model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from decant.evaluation.baskets import METRICS
from decant.evaluation.intervals import ratio_draws
from decant.evaluation.metrics import user_means
from decant.features.sequences import TEST, VALIDATION
from decant.params.types import TEACHER
from decant.release.checks import measured_baselines
from decant.report.results import Figure
from decant.report.scores import FAMILY, served, serving, with_interval

NDCG = METRICS[0]


@dataclass(frozen=True)
class BasketRow:
    """One model before the baskets of the test window: NDCG and recall, means over users."""

    label: str
    ndcg: Figure
    recall: Figure


def basket_table(
    baskets: pd.DataFrame | None,
    metrics: dict[str, Any],
    verdict: dict[str, Any],
    members: Mapping[str, np.ndarray],
    resamples: int,
    seed: int,
) -> list[BasketRow]:
    """The best traditional model, the teacher and the family; empty without baskets.

    The traditional model is the best one for baskets, chosen on validation.

    Args:
        baskets: output of `evaluate`. members: user indices by student.
    """
    if baskets is None:
        return []
    frame = with_family(baskets, verdict, members)
    best = best_for_baskets(frame, measured_baselines(metrics, frame["model"].unique()))
    shown = {TEACHER: TEACHER, FAMILY: "family, as released"}
    if best is not None:
        shown = {best: f"{best}, the best traditional model here", **shown}
    rows = []
    for model, label in shown.items():
        of_model = frame[(frame["model"] == model) & (frame["window"] == TEST)]
        if len(of_model):
            figures = (user_figure(of_model, m, resamples, seed) for m in METRICS)
            rows.append(BasketRow(label, *figures))
    return rows


def with_family(
    baskets: pd.DataFrame, verdict: dict[str, Any], members: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """The rows of all models, and those of the family as released."""
    students = serving(verdict)
    groups = [pd.Series(name, members[name]) for name in students if name in members]
    whose = pd.concat(groups) if groups else pd.Series(dtype=str)
    return pd.concat([baskets, served(baskets, whose, students)], ignore_index=True)


def best_for_baskets(frame: pd.DataFrame, names: list[str]) -> str | None:
    """The traditional model with the highest NDCG on validation, None if there are none."""
    on_validation = frame[(frame["window"] == VALIDATION) & frame["model"].isin(names)]
    means = on_validation.groupby(["model", "user"])[NDCG].mean().groupby("model").mean()
    return None if means.empty else str(means.idxmax())


def user_figure(rows: pd.DataFrame, metric: str, resamples: int, seed: int) -> Figure:
    """A metric's mean over users with its interval."""
    values = user_means(rows[metric].to_numpy(), rows["user"].to_numpy())[1]
    drawn = ratio_draws(values, np.ones(len(values)), resamples, seed)
    return with_interval(float(values.mean()), drawn, len(values))
