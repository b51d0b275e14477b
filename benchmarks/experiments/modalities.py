"""Gain of a teacher from text and images, also on items without training events.

A share of the items loses its training events. The test window is ranked over the whole catalogue,
with separate figures for cases whose target was held back.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.checkout import Clone
from benchmarks.harness.demo_workspace import MORE_USERS, ShopError, change_params
from decant.evaluation.held_back import draw_items, hold_back
from decant.evaluation.intervals import paired_gain
from decant.evaluation.metrics import ndcg, user_means
from decant.evaluation.scoring import Scorer, rank
from decant.features.encode import Encoder
from decant.features.holdout import decision_cases
from decant.features.sequences import TEST, VALIDATION, Cases, Sequences, cases, histories
from decant.report.results import Outcome
from decant.training.state import Report
from tasks.runner.training_record import training_record

SEEDS = (1, 2, 3)
HELD = 0.1  # share of the items
K, PER_USER, BACK = 10, 4, 10  # BACK: events of the history that content-kNN uses
RESAMPLES = 2000
STAGES = ("raw", "ingest", "validate", "features", "embed")
TEACHER = {
    "dimension": 64, "layers": 2, "heads": 2, "dropout": 0.0, "epochs": 5, "patience": 5,
    "batch_size": 32, "learning_rate": 0.003, "precision": "float32", "device": "cpu", "threads": 1,
}  # fmt: skip
ADDED: dict[str, tuple[str, ...]] = {
    "item": (), "text": ("text",), "image": ("image",), "both": ("text", "image"),
}  # fmt: skip
GROUPS = ("all", "warm", "cold")
Reports = dict[str, list[Report]]  # model -> the report of each seed
WINDOWS = {
    TEST: TEST,
    VALIDATION: "validation, of the half of the users on whom no epoch was selected",
}
Values = dict[str, dict[str, list[np.ndarray]]]  # model -> group -> NDCG@K per user, by seed


def bench(project: Clone, log: Callable[[str], None], *, window: str) -> Outcome:
    """Prepare the demo's features in the clone, train every teacher for every seed."""
    change_params(project, MORE_USERS)
    for stage in STAGES:
        ended = project.run("-m", f"tasks.{stage}")
        if ended.status:
            raise ShopError(f"{stage} failed: {ended.error}")
    log(f"{len(SEEDS)} seeds, {len(ADDED)} teachers each; some minutes")
    program = ("-m", "benchmarks.experiments.modalities")
    measured = project.run(*program, str(project.root / "data"), window)
    if measured.status:
        raise ShopError(f"the measurement failed: {measured.error}")
    answer = json.loads(measured.output.splitlines()[-1])
    figures: dict[str, Any] = answer["figures"]
    outcome = Outcome(protocol(window), list(SEEDS), figures, trained=answer["trained"])
    for name in ("text", "both"):
        low = figures[f"{name}.gain.cold"]["low"]
        outcome.holds(f"{name}.helps_cold", low > 0, f"lower bound of the gain {low:.4f}")
    return outcome


def protocol(window: str) -> dict[str, Any]:
    """Description of the protocol."""
    return {
        "shop": f"the demo shop with {MORE_USERS['raw']['users']} users",
        "teacher": ", ".join(f"{name} {value}" for name, value in TEACHER.items()),
        "held back": f"{HELD:.0%} of the items, drawn for each seed, have no training events",
        "window": WINDOWS[window],
        "cases": f"at most {PER_USER} per user; `cold`: the target was held back",
        "ranked": "whole catalogue, ties against the model, seen items are never recommended",
        "figures": f"NDCG@{K}, mean over users, then over seeds; interval: bootstrap over users; "
        "`gain`: over the teacher with only item ids",
    }


def measure(data: Path, window: str) -> dict[str, Any]:
    """All figures by dotted name, and the trainings; `data`: the folder of the stages' outputs."""
    encoder = Encoder.load(data / "features" / "encoder.json")
    sequences = Sequences.load(data / "features" / "sequences")
    vectors = {path.stem: np.load(path) for path in sorted((data / "vectors").glob("*.npy"))}
    values: Values = {}
    reports: Reports = {}
    for seed in SEEDS:
        held = draw_items(len(encoder.items), HELD, seed)
        without = hold_back(sequences, held)
        on_test = window == TEST
        chosen = cases(without, TEST, PER_USER) if on_test else decision_cases(without, PER_USER)
        cold = held[np.asarray(without.items)[chosen.position]]
        for name, scorer in models(encoder, without, vectors, seed, reports):
            print(f"seed {seed}: {name}", flush=True)
            ranking = rank(
                scorer, without, chosen, len(encoder.items), k=K, exclude_seen=encoder.exclude_seen
            )
            quality = ndcg(ranking.ranks, K)
            for group, which in zip(GROUPS, (cold | True, ~cold, cold), strict=True):
                by_user = per_user(
                    quality[which], chosen.take(np.flatnonzero(which)), without.users
                )
                values.setdefault(name, {}).setdefault(group, []).append(by_user)
    trained = {name: training_record(Path(), made) for name, made in reports.items()}
    return {"figures": summarise(values), "trained": trained}


def models(
    encoder: Encoder, sequences: Sequences, vectors: dict[str, np.ndarray], seed: int,
    reports: Reports,
) -> Any:  # fmt: skip
    """Yield name and scorer of each compared model; add the reports of trainings."""
    rng = np.random.default_rng(seed)
    size = len(encoder.items) + 1
    yield "random", lambda sequences, chosen: rng.random((len(chosen), size))
    for name in ("text", "image"):
        yield f"content_knn.{name}", content_knn(vectors[name])
    for name, added in ADDED.items():
        scorer, report = trained(encoder, sequences, vectors, added, seed)
        reports.setdefault(name, []).append(report)
        yield name, scorer


def trained(
    encoder: Encoder,
    sequences: Sequences,
    vectors: dict[str, np.ndarray],
    added: tuple[str, ...],
    seed: int,
) -> tuple[Scorer, Report]:
    """A teacher with item ids, behaviours and the `added` inputs; the report of its training."""
    from decant.distillation.fit import fit, new_model
    from decant.params.models import Training
    from decant.training.loop import Plan
    from decant.training.supervision import Material
    from decant.training.validate import TorchScorer

    settings = Training.model_validate({**TEACHER, "inputs": ["item", "behaviour", *added]})
    material = Material(encoder, sequences, vectors, None, PER_USER)
    model = new_model(material, settings, seed)
    report = fit(model, material, settings, Plan(settings.epochs, settings.learning_rate, seed))
    return TorchScorer(model), report


def content_knn(vectors: np.ndarray) -> Scorer:
    """Scores items by similarity to the mean vector of the last `BACK` events."""

    def score(sequences: Sequences, chosen: Cases) -> np.ndarray:
        items = histories(sequences, chosen, ("items",), BACK)["items"]
        scores: np.ndarray = vectors[items].mean(axis=1) @ vectors.T
        return scores

    return score


def per_user(quality: np.ndarray, chosen: Cases, users: int) -> np.ndarray:
    """Mean of each user's cases, float [U]; NaN for a user without any."""
    by_user = np.full(users, np.nan)
    with_cases, means = user_means(quality, chosen.user)
    by_user[with_cases] = means
    return by_user


def summarise(values: Values) -> dict[str, Any]:
    """Figures of every model on every group, and each teacher's gain over that with only ids."""
    figures = {}
    for group in GROUPS:
        zero = [np.zeros_like(seed_values) for seed_values in values["item"][group]]
        for name, seed_values in values.items():
            figures[f"{name}.ndcg@{K}.{group}"] = figure(seed_values[group], zero)
            if name in ADDED and name != "item":
                figures[f"{name}.gain.{group}"] = figure(seed_values[group], values["item"][group])
    return figures


def figure(ours: list[np.ndarray], theirs: list[np.ndarray]) -> dict[str, Any]:
    """Mean difference per user, over the seeds in which the user has a case."""
    difference = np.stack(ours) - np.stack(theirs)
    known = difference[:, ~np.isnan(difference).all(axis=0)]
    means = np.nanmean(known, axis=0)
    gain = paired_gain(means, np.zeros_like(means), RESAMPLES, SEEDS[0])
    return {"value": gain.gain, "low": gain.low, "high": gain.high, "n": gain.n}


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2])))
