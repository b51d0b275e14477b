"""The one evaluation: every model on every group, in the runtime that serves.

Models are named `teacher`, a baseline's name, or `<student>/<hop>` with the hops `distilled`,
`pruned` and `int8`. Groups are `all` and one per student: the users it is for.
"""

from collections.abc import Callable
from dataclasses import dataclass
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
from decant.params import TEACHER
from decant.serving.engine import Model

ALL = "all"
ORACLE = "oracle"
HOPS = ("distilled", "pruned", "int8")
WINDOWS = (VALIDATION, TEST)


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
    """
    items = len(encoder.items)
    chosen = {window: cases(sequences, window, cases_per_user) for window in WINDOWS}
    groups = {ALL: np.arange(sequences.users), **members}
    count = training_counts(sequences, items)
    graphs = {name: Model(folder / bundle.GRAPH) for name, folder in bundles.items()}
    scorers: dict[str, Callable[[], Scorer]] = {
        **{name: lambda fit=fit: fit(sequences, items) for name, fit in BASELINES.items()},  # type: ignore[misc]
        **{n: lambda g=g: OnnxScorer(g, encoder.max_length) for n, g in graphs.items()},  # type: ignore[misc]
    }
    models: dict[str, Any] = {}
    rows, tops = [], {}
    for name, make in scorers.items():
        scorer = make()
        models[name] = {}
        for window, of_window in chosen.items():
            ranking = rank(
                scorer, sequences, of_window, items, k=k, exclude_seen=encoder.exclude_seen
            )
            models[name][window] = by_group(of_window, ranking, groups, count, k)
            rows.append(case_rows(name, window, of_window, ranking.ranks))
        tops[name] = ranking.top
        progress(f"{name}: test NDCG@{k} {models[name][TEST].get(ALL, {}).get('ndcg', 0):.4f}")
    if oracle is not None:
        models[ORACLE] = {}
        for window, of_window in chosen.items():
            ranks = oracle(of_window)
            known = of_window.take(np.flatnonzero(ranks > 0))
            models[ORACLE][window] = ndcg_by_group(known, ranks[ranks > 0], groups, k)
            rows.append(case_rows(ORACLE, window, known, ranks[ranks > 0]))
    latency = interleaved_latency(graphs, sequences, chosen[TEST], encoder, latency_requests, seed)
    for name, folder in bundles.items():
        models[name] |= {"bytes": bundle.size_bytes(folder), "latency_us": latency[name]}
    metrics = {
        "k": k,
        "catalogue": items,
        "groups": {name: group_sizes(users, chosen) for name, users in groups.items()},
        "models": models,
    }
    return Evaluated(metrics, pd.concat(rows, ignore_index=True), tops)


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


def best_baseline(metrics: dict[str, Any]) -> str:
    """The traditional model that is best on validation."""
    quality = {n: metrics["models"][n][VALIDATION][ALL]["ndcg"] for n in BASELINES}
    return max(quality, key=lambda name: quality[name])


def is_student(model: str) -> bool:
    """Is it a model of the family, at any hop?"""
    return model == TEACHER or "/" in model
