"""Evaluate every model on every group, in the serving runtime.

Models are named `teacher`, after a baseline, or `<student>/<step>` with the compression steps
`distilled`, `pruned` and `int8`. Groups are `all` and the users of each student.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from decant.evaluation.baselines import COUNTS, HYBRID, KINDS, applicable
from decant.evaluation.baselines.hybrid import Mixture, best_two, best_weight, mix
from decant.evaluation.baselines.mixture import fit_mixture, mixture
from decant.evaluation.baskets import next_baskets
from decant.evaluation.latency import interleaved_latency
from decant.evaluation.measure import ORACLE as ORACLE
from decant.evaluation.measure import Measured, Yardstick, measure, measure_oracle
from decant.evaluation.metrics import mean_over_users, ndcg
from decant.evaluation.scoring import OnnxScorer, Scorer
from decant.features.encode import Encoder
from decant.features.holdout import in_selection, selection_events
from decant.features.sequences import TEST, VALIDATION, Cases, Sequences, cases, training_counts
from decant.models import bundle
from decant.runtime.session import Model

ALL = "all"
RELEASED = "int8"  # the compression step that is served
HOPS = ("distilled", "pruned", RELEASED)
WINDOWS = (VALIDATION, TEST)
MOST_EVENTS = 20_000  # to fit the weights of the mixture of counts to


class NothingToEvaluateError(ValueError):
    """A window has no event to predict."""

    def __init__(self, window: str) -> None:
        self.window = window
        super().__init__(
            f"the {window} window has nothing to evaluate: none of its target events has a "
            "history before it; see features.target_behaviours and split"
        )


@dataclass(frozen=True)
class Evaluated:
    """`metrics`: figures by model, window and group. `cases`: one row per model, window and case
    (model, window, user, position, rank). `top`: the top k of the test cases, by model. `baskets`:
    one row per model, window and basket, see `baskets.basket_rows`; None without baskets."""

    metrics: dict[str, Any]
    cases: pd.DataFrame
    top: dict[str, np.ndarray]
    baskets: pd.DataFrame | None = None


def check_cutoff(k: int, items: int) -> None:
    """Check that lists are not longer than the catalogue.

    Raises:
        ValueError: every list would hold every item.
    """
    if k > items:
        raise ValueError(
            f"evaluate.k is {k}, but the catalogue has {items} items: set it to the length of the "
            "lists that users see"
        )


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
    vectors: np.ndarray | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> Evaluated:
    """Evaluate the traditional baselines and every model of `bundles`.

    Args:
        members: user indices by student; each is a group.
        bundles: model name → folder with its graph.
        oracle: cases → rank of each target in the best possible ranking, 0 where unknown.
        vectors: float [N + 1, width], the items' content vectors, if any.

    Raises:
        NothingToEvaluateError: validation or test has no case.
        ValueError: see `check_cutoff`.
    """
    items = len(encoder.items)
    check_cutoff(k, items)
    chosen = cases_by_window(sequences, cases_per_user)
    groups = {ALL: np.arange(sequences.users), **members}
    sets = (
        {window: next_baskets(sequences, window, cases_per_user) for window in WINDOWS}
        if encoder.baskets
        else {}
    )
    count = training_counts(sequences, items)
    yardstick = Yardstick(sequences, encoder, chosen, groups, count, k, sets)
    graphs = {name: Model(folder / bundle.GRAPH) for name, folder in bundles.items()}
    with threadpool_limits(1, user_api="blas"):  # figures must not depend on the number of cores
        measured = measure_all(graphs, yardstick, vectors, progress)
        hybrid = measure_hybrid(measured, yardstick, vectors, progress)
        weights = measure_counts(measured, yardstick, progress)
        left_out = applicable(items, vectors, encoder.exclude_seen)[1]
        for name, chosen_weights in ((HYBRID, hybrid), (COUNTS, weights)):
            if chosen_weights is None:
                why = "the selection half of validation has no cases to choose weights on"
                left_out[name] = why
        for name, why in left_out.items():
            progress(f"{name}: left out, {why}")
    models = {name: of_model.figures for name, of_model in measured.items()}
    rows = [table for of_model in measured.values() for table in of_model.cases.values()]
    if oracle is not None:
        best = measure_oracle(oracle, yardstick)
        models[ORACLE], rows = best.figures, [*rows, *best.cases.values()]
    latency = interleaved_latency(graphs, sequences, chosen[TEST], encoder, latency_requests, seed)
    for name, folder in bundles.items():
        models[name] |= {"bytes": bundle.size_bytes(folder), "latency_us": latency[name]}
    metrics = {
        "k": k,
        "catalogue": items,
        "groups": {name: group_sizes(users, chosen) for name, users in groups.items()},
        "models": models,
        "left_out": left_out,
        "hybrid": None if hybrid is None else asdict(hybrid),
        "count_mixture": weights,
        "baskets": {window: len(of_window) for window, of_window in sets.items()},
    }
    tops = {name: of_model.top for name, of_model in measured.items()}
    tables = [table for of_model in measured.values() for table in of_model.baskets.values()]
    baskets = pd.concat(tables, ignore_index=True) if tables else None
    return Evaluated(metrics, pd.concat(rows, ignore_index=True), tops, baskets)


def cases_by_window(sequences: Sequences, per_user: int) -> dict[str, Cases]:
    """The cases of validation and of test.

    Raises:
        NothingToEvaluateError: a window has no cases.
    """
    chosen = {window: cases(sequences, window, per_user) for window in WINDOWS}
    for window, window_cases in chosen.items():
        if not len(window_cases):
            raise NothingToEvaluateError(window)
    return chosen


def measure_all(
    graphs: dict[str, Model],
    yardstick: Yardstick,
    vectors: np.ndarray | None,
    progress: Callable[[str], None],
) -> dict[str, Measured]:
    """Measure every baseline and graph, one thread each, as many at a time as there are cores."""

    def measure_one(name: str, make: Callable[[], Scorer]) -> Measured:
        measured = measure(name, make(), yardstick)
        report_quality(name, measured, yardstick, progress)
        return measured

    makers = scorers(graphs, yardstick.sequences, yardstick.encoder, vectors)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting = {name: pool.submit(measure_one, name, make) for name, make in makers.items()}
        return {name: future.result() for name, future in waiting.items()}


def scorers(
    graphs: dict[str, Model],
    sequences: Sequences,
    encoder: Encoder,
    vectors: np.ndarray | None = None,
) -> dict[str, Callable[[], Scorer]]:
    """Factories of the scorers of all baselines and graphs: a fitted baseline is large."""
    fits, _ = applicable(len(encoder.items), vectors, encoder.exclude_seen)
    fitted = {name: partial(fit, sequences, len(encoder.items)) for name, fit in fits.items()}
    loaded = {
        name: partial(OnnxScorer, g, encoder.max_length, as_served=name.endswith(f"/{RELEASED}"))
        for name, g in graphs.items()
    }
    return {**fitted, **loaded}


def measure_hybrid(
    measured: dict[str, Measured],
    yardstick: Yardstick,
    vectors: np.ndarray | None,
    progress: Callable[[str], None],
) -> Mixture | None:
    """Mix the two best baselines and add the mixture's results to `measured`.

    The baselines and their weight are chosen on the selection half of validation users. Both are
    fitted again: keeping all baselines until the last is measured takes much more memory.
    """
    y, items = yardstick, len(yardstick.encoder.items)
    window = y.chosen[VALIDATION]
    picked = in_selection(window.user)
    ranks = {
        name: measured[name].cases[VALIDATION]["rank"].to_numpy()[picked]
        for name in KINDS
        if name in measured
    }
    users = window.user[picked]
    reached = {name: mean_over_users(ndcg(r, y.k), users) for name, r in ranks.items()}
    names = best_two(reached, KINDS)
    if names is None or not picked.any():
        return None
    make = scorers({}, y.sequences, y.encoder, vectors)
    first, second = (make[name]() for name in names)
    cases = window.take(np.flatnonzero(picked))
    weight = best_weight(
        first, second, y.sequences, cases, items, k=y.k, exclude_seen=y.encoder.exclude_seen
    )
    progress(f"{HYBRID}: {weight:g} of {names[0]}, {1 - weight:g} of {names[1]}")
    measured[HYBRID] = measure(HYBRID, mix(first, second, weight), yardstick)
    report_quality(HYBRID, measured[HYBRID], yardstick, progress)
    return Mixture(*names, weight)


def measure_counts(
    measured: dict[str, Measured], yardstick: Yardstick, progress: Callable[[str], None]
) -> dict[str, float] | None:
    """Add the results of the mixture of counts to `measured`; its weights, None without cases.

    They are fitted to all events of the selection half of validation users, at most `MOST_EVENTS`.
    """
    y, items = yardstick, len(yardstick.encoder.items)
    chosen = selection_events(y.sequences, MOST_EVENTS)
    if not len(chosen):
        return None
    counts, weights = fit_mixture(y.sequences, chosen, items)
    measured[COUNTS] = measure(COUNTS, mixture(counts, weights, items), yardstick)
    report_quality(COUNTS, measured[COUNTS], yardstick, progress)
    return {**weights, **({} if counts.half_life is None else {"half_life": counts.half_life})}


def report_quality(
    name: str, measured: Measured, yardstick: Yardstick, progress: Callable[[str], None]
) -> None:
    """Report a measured model in one line."""
    quality = measured.figures[TEST][ALL]["ndcg"]
    progress(f"{name}: test NDCG@{yardstick.k} {quality:.4f} on all users")


def group_sizes(users: np.ndarray, chosen: dict[str, Cases]) -> dict[str, int]:
    """Number of users of a group, and of its cases in each window."""
    inside = {w: int(np.isin(c.user, users).sum()) for w, c in chosen.items()}
    return {"users": len(users), **{f"{w}_cases": n for w, n in inside.items()}}
