"""Measure one model on all cases: figures by window and group, and the rank of every target."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from decant.evaluation.baskets import Baskets, basket_figures, basket_rows
from decant.evaluation.metrics import mean_over_users, ndcg, quality
from decant.evaluation.scoring import Ranking, Scorer, rank
from decant.features.encode import Encoder
from decant.features.sequences import TEST, Cases, Sequences

ORACLE = "oracle"


@dataclass(frozen=True)
class Yardstick:
    """Common input of all measurements: cases by window, users by group, events per item, baskets
    by window where there are any."""

    sequences: Sequences
    encoder: Encoder
    chosen: dict[str, Cases]
    groups: dict[str, np.ndarray]
    count: np.ndarray
    k: int
    baskets: dict[str, Baskets] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """Results of one model: `figures` by window and group, `cases` and `baskets` by window, top k
    of the test."""

    figures: dict[str, Any]
    cases: dict[str, pd.DataFrame]
    top: np.ndarray
    baskets: dict[str, pd.DataFrame] = field(default_factory=dict)


def measure(name: str, scorer: Scorer, yardstick: Yardstick) -> Measured:
    """Rank every case with one model, and before every basket."""
    y, items = yardstick, len(yardstick.encoder.items)

    def ranked(chosen: Cases) -> Ranking:
        seen = y.encoder.exclude_seen
        return rank(scorer, y.sequences, chosen, items, k=y.k, exclude_seen=seen)

    rankings = {window: ranked(chosen) for window, chosen in y.chosen.items()}
    figures = {w: by_group(y.chosen[w], r, y.groups, y.count, y.k) for w, r in rankings.items()}
    baskets = {w: basket_rows(name, w, b, ranked(b.cases).top) for w, b in y.baskets.items()}
    for window, rows in baskets.items():
        for group, of_group in basket_figures(rows, y.groups).items():
            figures[window].setdefault(group, {}).update(of_group)
    return Measured(
        figures,
        {w: case_rows(name, w, y.chosen[w], r.ranks) for w, r in rankings.items()},
        rankings[TEST].top,
        baskets,
    )


def measure_oracle(oracle: Callable[[Cases], np.ndarray], yardstick: Yardstick) -> Measured:
    """Measure the best possible ranking on the cases where it is known; it has no top k."""
    figures, tables = {}, {}
    for window, chosen in yardstick.chosen.items():
        ranks = oracle(chosen)
        known, ranks = chosen.take(np.flatnonzero(ranks > 0)), ranks[ranks > 0]
        figures[window] = ndcg_by_group(known, ranks, yardstick.groups, yardstick.k)
        tables[window] = case_rows(ORACLE, window, known, ranks)
    return Measured(figures, tables, np.zeros((0, yardstick.k), np.int32))


def by_group(
    chosen: Cases, ranking: Ranking, groups: dict[str, np.ndarray], count: np.ndarray, k: int
) -> dict[str, dict[str, float]]:
    """All metrics of one model for each group that has cases."""
    result = {}
    for name, users in groups.items():
        inside = np.isin(chosen.user, users)
        if inside.any():
            result[name] = quality(
                ranking.ranks[inside], ranking.top[inside], chosen.user[inside], count, k
            )
    return result


def ndcg_by_group(
    chosen: Cases, ranks: np.ndarray, groups: dict[str, np.ndarray], k: int
) -> dict[str, dict[str, float]]:
    """Only NDCG@k, for a model of which only the targets' ranks are known."""
    inside = {name: np.isin(chosen.user, users) for name, users in groups.items()}
    return {
        name: {"ndcg": mean_over_users(ndcg(ranks[rows], k), chosen.user[rows])}
        for name, rows in inside.items()
        if rows.any()
    }


def case_rows(name: str, window: str, chosen: Cases, ranks: np.ndarray) -> pd.DataFrame:
    """One row per case: model, window, user, position, rank."""
    return pd.DataFrame(
        {
            "model": pd.Categorical([name] * len(chosen)),
            "window": pd.Categorical([window] * len(chosen)),
            "user": chosen.user.astype(np.int32),
            "position": chosen.position.astype(np.int64),
            "rank": ranks.astype(np.int32),
        }
    ).astype({"model": "str", "window": "str"})
