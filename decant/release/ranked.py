"""Per-user quality of every model, read from the ranks of an evaluation.

Models are comparable only if they ranked the same cases, each once, with usable ranks.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from decant.evaluation.metrics import hit, ndcg, user_means
from decant.features.holdout import in_selection
from decant.features.sequences import TEST, VALIDATION

WINDOWS = (VALIDATION, TEST)
CASE = ["user", "position"]
Metric = Callable[[np.ndarray, int], np.ndarray]  # ranks, k → value of each case


@dataclass(frozen=True)
class Ranked:
    """NDCG@k and HR@k of every user by model and window.

    `ndcg`, `hit`: per window a frame with one row per user and one column per comparable model.
    `counts`: cases of each user, by window. `problems`: why a model is not comparable, by model.
    """

    ndcg: dict[str, pd.DataFrame]
    hit: dict[str, pd.DataFrame]
    counts: dict[str, pd.Series]
    problems: dict[str, str]

    def scores(self, model: str, window: str, users: np.ndarray) -> pd.Series | None:
        """NDCG@k of those of `users` who have cases, by user; None for an unusable model."""
        frame = self.ndcg[window]
        if model not in frame:
            return None
        column = frame[model]
        return column[column.index.isin(users)]

    def deciding(self, users: np.ndarray) -> np.ndarray:
        """Those of `users` with validation cases that no choice of a model has used."""
        known = self.ndcg[VALIDATION].index.to_numpy()
        return known[np.isin(known, users) & ~in_selection(known)]


def read_ranked(
    cases: pd.DataFrame,
    k: int,
    partial: Iterable[str] = (),
    compared: Iterable[str] | None = None,
) -> Ranked:
    """The per-user quality of all models.

    Args:
        cases: one row per model, window and case: model, window, user, position, rank.
        partial: models that are known on some cases only, which are left out.
        compared: models that must have ranked the same cases; those that most of them ranked are
            expected of every model. None: all.
    """
    cases = cases[~cases["model"].isin([*partial])].astype({"model": "category"})
    ranks = pd.to_numeric(cases["rank"], errors="coerce").to_numpy(float, na_value=np.nan)
    cases = cases.assign(
        rank=np.where(np.isfinite(ranks) & (ranks == np.floor(ranks)), ranks, np.nan)
    )
    names = [*cases["model"].cat.categories] if compared is None else [*compared]
    problems: dict[str, str] = {}
    for window in WINDOWS:
        for model, problem in find_problems(cases[cases["window"] == window], names, window):
            problems.setdefault(model, problem)
    usable = cases[~cases["model"].isin([*problems])]
    tables: dict[str, list[pd.DataFrame]] = {"ndcg": [], "hit": []}
    counts = {}
    for window in WINDOWS:
        rows = usable[usable["window"] == window]
        tables["ndcg"].append(by_user(rows, ndcg, k))
        tables["hit"].append(by_user(rows, hit, k))
        distinct = cases.loc[cases["window"] == window, CASE].drop_duplicates()
        counts[window] = distinct["user"].value_counts()
    ndcgs, hits = (dict(zip(WINDOWS, tables[name], strict=True)) for name in ("ndcg", "hit"))
    return Ranked(ndcgs, hits, counts, problems)


def find_problems(rows: pd.DataFrame, names: list[str], window: str) -> Iterator[tuple[str, str]]:
    """Models that did not rank the same cases as most of `names`, each once, with usable ranks."""
    expected = expected_cases(rows[rows["model"].isin(names)])
    for model, own in rows.groupby("model", observed=False):
        known = pd.MultiIndex.from_frame(own[CASE].drop_duplicates())
        repeated = len(own) - len(known)
        missing = len(expected.difference(known))
        unusable = int((~(own["rank"] >= 1)).sum())  # NaN too
        for count, what in (
            (missing, f"of {len(expected):,} {window} cases are missing"),
            (len(known.difference(expected)), f"{window} cases that most models did not rank"),
            (repeated, f"{window} cases are ranked twice"),
            (unusable, f"{window} ranks are not numbers of at least 1"),
        ):
            if count:
                yield str(model), f"{count:,} {what}"


def expected_cases(rows: pd.DataFrame) -> pd.MultiIndex:
    """The cases that at least half of the models ranked, as pairs of user and position."""
    once = rows.drop_duplicates(["model", *CASE])
    times = once.groupby(CASE).size()
    expected = times[2 * times >= once["model"].nunique()].index
    return pd.MultiIndex.from_frame(expected.to_frame(index=False))


def by_user(rows: pd.DataFrame, metric: Metric, k: int) -> pd.DataFrame:
    """Mean of a metric over each user's cases: one row per user, one column per model."""
    columns = {}
    for model, own in rows.groupby("model", observed=True):
        users, means = user_means(metric(own["rank"].to_numpy(), k), own["user"].to_numpy())
        columns[str(model)] = pd.Series(means, index=users)
    return pd.DataFrame(columns)
