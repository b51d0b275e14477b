"""The one evaluation: every model on every group, in the runtime that serves.

Models are named `teacher`, a baseline's name, or `<student>/<hop>` with the hops `distilled`,
`pruned` and `int8`. Groups are `all` and one per student: the users it is for.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from decant.evaluation.baselines import BASELINES, training_counts
from decant.evaluation.latency import interleaved_latency
from decant.evaluation.metrics import ndcg, quality
from decant.evaluation.scoring import OnnxScorer, Ranking, Scorer, rank
from decant.features.encode import Encoder
from decant.features.sequences import TEST, VALIDATION, Cases, Sequences, cases
from decant.models import bundle
from decant.serving.engine import Model

ALL = "all"
ORACLE = "oracle"
RELEASED = "int8"  # the hop that is served
HOPS = ("distilled", "pruned", RELEASED)
WINDOWS = (VALIDATION, TEST)


class NothingToEvaluate(ValueError):
    """A window has no event that could be predicted."""

    def __init__(self, window: str) -> None:
        self.window = window
        super().__init__(
            f"the {window} window has nothing to evaluate: no event of a target behaviour in it "
            "has a history before it; see features.target_behaviours and split"
        )


@dataclass(frozen=True)
class Evaluated:
    """`metrics`: figures by model, window and group. `cases`: one row per model, window and case
    (model, window, user, position, rank). `top`: for each model the top k of its test cases."""

    metrics: dict[str, Any]
    cases: pd.DataFrame
    top: dict[str, np.ndarray]


def evaluate(
    sequences: Sequences,
    encoder: Encoder,
    members: dict[str, np.ndarray],
    bundles: dict[str, Path],
    oracle: Callable[[Cases], np.ndarray] | None,
    *,
    k: int,
    cases_per_user: int,
    latency_requests: int,
    seed: int,
    progress: Callable[[str], None] = lambda line: None,
) -> Evaluated:
    """Evaluate the traditional baselines and every model of `bundles`.

    Args:
        members: user indices by student; a group each.
        bundles: model name → folder with its graph.
        oracle: cases → rank of each target in the best possible ranking, where that is known
            (0 where it is not).

    Raises:
        NothingToEvaluate: validation or test has no case.
    """
    items = len(encoder.items)
    chosen = cases_by_window(sequences, cases_per_user)
    groups = {ALL: np.arange(sequences.users), **members}
    yardstick = Yardstick(sequences, encoder, chosen, groups, training_counts(sequences, items), k)
    graphs = {name: Model(folder / bundle.GRAPH) for name, folder in bundles.items()}
    measured = measure_all(graphs, yardstick, progress)
    models = {name: of_model.figures for name, of_model in measured.items()}
    rows = [table for of_model in measured.values() for table in of_model.cases]
    if oracle is not None:
        best = measure_oracle(oracle, yardstick)
        models[ORACLE], rows = best.figures, rows + best.cases
    latency = interleaved_latency(graphs, sequences, chosen[TEST], encoder, latency_requests, seed)
    for name, folder in bundles.items():
        models[name] |= {"bytes": bundle.size_bytes(folder), "latency_us": latency[name]}
    metrics = {
        "k": k,
        "catalogue": items,
        "groups": {name: group_sizes(users, chosen) for name, users in groups.items()},
        "models": models,
    }
    tops = {name: of_model.top for name, of_model in measured.items()}
    return Evaluated(metrics, pd.concat(rows, ignore_index=True), tops)


@dataclass(frozen=True)
class Yardstick:
    """What every model is measured with: cases by window, users by group, events per item."""

    sequences: Sequences
    encoder: Encoder
    chosen: dict[str, Cases]
    groups: dict[str, np.ndarray]
    count: np.ndarray
    k: int


@dataclass(frozen=True)
class Measured:
    """One model: `figures` by window and group, a table of `cases` per window, the test's top k."""

    figures: dict[str, Any]
    cases: list[pd.DataFrame]
    top: np.ndarray


def cases_by_window(sequences: Sequences, per_user: int) -> dict[str, Cases]:
    """The cases of validation and of test.

    Raises:
        NothingToEvaluate: one of them has none.
    """
    chosen = {window: cases(sequences, window, per_user) for window in WINDOWS}
    for window, found in chosen.items():
        if not len(found):
            raise NothingToEvaluate(window)
    return chosen


def measure_all(
    graphs: dict[str, Model], yardstick: Yardstick, progress: Callable[[str], None]
) -> dict[str, Measured]:
    """Every baseline and every graph; as many at a time as there are cores, one thread each."""

    def measure_one(name: str, make: Callable[[], Scorer]) -> Measured:
        measured = measure(name, make(), yardstick)
        quality = measured.figures[TEST][ALL]["ndcg"]
        progress(f"{name}: test NDCG@{yardstick.k} {quality:.4f} on everybody")
        return measured

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting = {
            name: pool.submit(measure_one, name, make)
            for name, make in scorers(graphs, yardstick.sequences, yardstick.encoder).items()
        }
        return {name: future.result() for name, future in waiting.items()}


def scorers(
    graphs: dict[str, Model], sequences: Sequences, encoder: Encoder
) -> dict[str, Callable[[], Scorer]]:
    """How to make the scorer of every baseline and every graph; a fitted baseline is large."""
    fitted = {name: partial(fit, sequences, len(encoder.items)) for name, fit in BASELINES.items()}
    loaded = {
        name: partial(OnnxScorer, g, encoder.max_length, as_served=name.endswith(f"/{RELEASED}"))
        for name, g in graphs.items()
    }
    return {**fitted, **loaded}


def measure(name: str, scorer: Scorer, yardstick: Yardstick) -> Measured:
    """Rank every case with one model."""
    y, items = yardstick, len(yardstick.encoder.items)
    rankings = {
        window: rank(scorer, y.sequences, chosen, items, k=y.k, exclude_seen=y.encoder.exclude_seen)
        for window, chosen in y.chosen.items()
    }
    return Measured(
        {w: by_group(y.chosen[w], r, y.groups, y.count, y.k) for w, r in rankings.items()},
        [case_rows(name, w, y.chosen[w], r.ranks) for w, r in rankings.items()],
        rankings[TEST].top,
    )


def measure_oracle(oracle: Callable[[Cases], np.ndarray], yardstick: Yardstick) -> Measured:
    """The best possible ranking, on the cases where it is known; it has no top k."""
    figures, tables = {}, []
    for window, chosen in yardstick.chosen.items():
        ranks = oracle(chosen)
        known, ranks = chosen.take(np.flatnonzero(ranks > 0)), ranks[ranks > 0]
        figures[window] = ndcg_by_group(known, ranks, yardstick.groups, yardstick.k)
        tables.append(case_rows(ORACLE, window, known, ranks))
    return Measured(figures, tables, np.zeros((0, yardstick.k), np.int32))


def by_group(
    chosen: Cases, ranking: Ranking, groups: dict[str, np.ndarray], count: np.ndarray, k: int
) -> dict[str, dict[str, float]]:
    """All metrics of one model for each group that has cases."""
    result = {}
    for name, users in groups.items():
        inside = np.isin(chosen.user, users)
        if inside.any():
            result[name] = quality(ranking.ranks[inside], ranking.top[inside], count, k)
    return result


def ndcg_by_group(
    chosen: Cases, ranks: np.ndarray, groups: dict[str, np.ndarray], k: int
) -> dict[str, dict[str, float]]:
    """NDCG@k alone, for a model of which only the targets' ranks are known."""
    inside = {name: np.isin(chosen.user, users) for name, users in groups.items()}
    return {
        name: {"ndcg": float(ndcg(ranks[rows], k).mean())}
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


def group_sizes(users: np.ndarray, chosen: dict[str, Cases]) -> dict[str, int]:
    """Users of a group, and its cases in each window."""
    inside = {w: int(np.isin(c.user, users).sum()) for w, c in chosen.items()}
    return {"users": len(users), **{f"{w}_cases": n for w, n in inside.items()}}
