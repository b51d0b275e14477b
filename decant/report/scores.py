"""NDCG of every model on each test case, and aggregates with 95 % intervals.

Shapes: C cases, R resamples.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from decant.evaluation.evaluate import ALL, RELEASED
from decant.evaluation.intervals import ratio_draws
from decant.evaluation.metrics import ndcg, user_means
from decant.features.sequences import TEST
from decant.params.release import Evaluate
from decant.params.types import GENERAL
from decant.report.results import Figure, plain

FAMILY = "family"


@dataclass(frozen=True)
class Scores:
    """NDCG of every test case: `users` int [C]; `models` name → float [C], NaN where unknown.

    `members` are user indices by student; `serving` is the student of each segment.
    """

    users: np.ndarray
    models: dict[str, np.ndarray]
    members: Mapping[str, np.ndarray]
    serving: dict[str, str]
    resamples: int
    seed: int

    def inside(self, group: str) -> np.ndarray:
        """Cases of a group, bool [C]."""
        if group == ALL:
            return np.ones(len(self.users), dtype=bool)
        return np.isin(self.users, self.members.get(group, np.zeros(0, dtype=np.int32)))

    def family(self, hop: str = RELEASED) -> np.ndarray | None:
        """NDCG if each user is served by the student of their segment."""
        general = self.models.get(f"{GENERAL}/{hop}")
        if general is None:
            return None
        served = general.copy()
        for segment, student in self.serving.items():
            ndcg_of_student = self.models.get(f"{student}/{hop}")
            if ndcg_of_student is None:
                return None
            rows = self.inside(segment)
            served[rows] = ndcg_of_student[rows]
        return served

    def ndcg_of(self, name: str) -> np.ndarray | None:
        """NDCG of a model, or of the family as released."""
        return self.family() if name == FAMILY else self.models.get(name)


def read_scores(
    cases: pd.DataFrame,
    verdict: dict[str, Any],
    members: Mapping[str, np.ndarray],
    evaluation: Evaluate,
    seed: int,
) -> Scores:
    """The test cases of all models side by side.

    Args:
        cases: model, window, user, position, rank; output of `evaluate`.
    """
    rows = cases[cases["window"] == TEST]
    ranks = rows.pivot(index=["user", "position"], columns="model", values="rank")
    values = np.where(ranks.isna(), np.nan, ndcg(ranks.to_numpy(dtype=np.float64), evaluation.k))
    return Scores(
        users=ranks.index.get_level_values("user").to_numpy(),
        models={str(name): values[:, column] for column, name in enumerate(ranks.columns)},
        members=members,
        serving=serving(verdict),
        resamples=evaluation.resamples,
        seed=seed,
    )


def serving(verdict: dict[str, Any]) -> dict[str, str]:
    """The student that serves each segment."""
    segments = verdict.get("segments", {})
    return {name: name if s["ships"] else GENERAL for name, s in sorted(segments.items())}


def served(cases: pd.DataFrame, groups: pd.Series, students: dict[str, str]) -> pd.DataFrame:
    """The cases of all users under their serving student, as the model `family`."""
    student = cases["user"].map(groups).map(lambda group: students.get(group, GENERAL))
    rows = cases[cases["model"] == student + f"/{RELEASED}"]
    return rows.assign(model=FAMILY)


def released_students(verdict: dict[str, Any]) -> list[str]:
    """The students of the release."""
    return sorted({GENERAL, *serving(verdict).values()})


def mean(scores: Scores, name: str, group: str = ALL) -> Figure | None:
    """Mean NDCG of one model over the users of a group."""
    values = scores.ndcg_of(name)
    return None if values is None else ratio(scores, values, np.ones(len(values)), group)


def share(scores: Scores, name: str, reference: str, group: str = ALL) -> Figure | None:
    """NDCG of one model ÷ that of another, on the group's cases known for both."""
    return ratio(scores, scores.ndcg_of(name), scores.ndcg_of(reference), group)


def ratio(
    scores: Scores, above: np.ndarray | None, below: np.ndarray | None, group: str = ALL
) -> Figure | None:
    """Mean of `above` ÷ mean of `below`, over the users of a group and their cases where both are
    known, float [C] each."""
    if above is None or below is None:
        return None
    rows = scores.inside(group) & ~np.isnan(above) & ~np.isnan(below)
    (_, over), (_, under) = (user_means(v[rows], scores.users[rows]) for v in (above, below))
    if under.sum() <= 0:
        return None
    drawn = ratio_draws(over, under, scores.resamples, scores.seed)
    return with_interval(float(over.sum() / under.sum()), drawn, len(over))


def with_interval(value: float, drawn: np.ndarray, n: int) -> Figure:
    """A value with the percentile interval of its resamples."""
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return plain(value, n)
    low, high = np.quantile(known, [0.025, 0.975])
    return {"value": value, "low": float(low), "high": float(high), "n": n}


def exact(value: float | None) -> Figure | None:
    """A figure without an interval."""
    return None if value is None else plain(value)
