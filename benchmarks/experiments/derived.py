"""Students of groups whose weights are those of a general student."""

from typing import Any

import numpy as np

from benchmarks.experiments.comparison import Contest, trained
from benchmarks.experiments.variants import HISTORIES, PRIOR_WEIGHTS, SHRINKAGES
from decant.compression.shorten import mean_multiply_adds, shorten
from decant.distillation.prior import with_prior
from decant.evaluation.intervals import paired_gain
from decant.evaluation.metrics import ndcg, user_means
from decant.evaluation.scoring import rank
from decant.features.holdout import of_users, selection_cases
from decant.features.sequences import TEST, Cases, cases, history_lengths
from decant.models.recommender import Recommender
from decant.params.types import GENERAL
from decant.training.device import device_of
from decant.training.supervision import supervise
from decant.training.validate import TorchScorer, validate


def best_prior(of: Contest, members: np.ndarray) -> tuple[Recommender, dict[str, Any]]:
    """The prior whose shrinkage and weight are best on the picking half; general if none is."""
    supervision = supervise(of.material(), of.settings, members)
    device = device_of(of.settings)
    best, chosen = trained(of, GENERAL).to(device), (0.0, 0.0)
    reached = validate(best, of.data.sequences, supervision)
    for shrinkage in SHRINKAGES:
        for weight in PRIOR_WEIGHTS:
            tried = trained(of, GENERAL).to(device)
            with_prior(tried, of.data.sequences, members, shrinkage, weight)
            value = validate(tried, of.data.sequences, supervision)
            if value > reached:
                best, reached, chosen = tried, value, (shrinkage, weight)
    return best, {"shrinkage": chosen[0], "weight": chosen[1]}


def shortest(of: Contest, members: np.ndarray) -> tuple[Recommender, dict[str, Any]]:
    """The family's general student with the shortest history that is enough for the group: on the
    picking half it surely loses no more than `gate.margin`; the whole one if none is.

    `of_requests`: how many times fewer multiply-adds the group's requests of the test window take.
    """
    device, data = device_of(of.settings), of.data
    choosing = of_users(selection_cases(data.sequences, data.params.split.cases_per_user), members)
    whole = trained(of, of.family[0]).to(device)
    before = ndcg_by_user(of, whole, choosing)
    lengths = [max(1, round(share * whole.architecture.max_length)) for share in HISTORIES]
    shorter = (shorten(whole, length).to(device) for length in lengths)
    chosen = next((s for s in shorter if holds(before, ndcg_by_user(of, s, choosing), of)), whole)
    requests = of_users(cases(data.sequences, TEST, data.params.split.cases_per_user), members)
    read = history_lengths(data.sequences, requests)
    costs = [mean_multiply_adds(model.architecture, read) for model in (whole, chosen)]
    return chosen, {"history": chosen.architecture.max_length, "of_requests": costs[0] / costs[1]}


def ndcg_by_user(of: Contest, model: Recommender, chosen: Cases) -> np.ndarray:
    """Of each user of these cases, float [V]."""
    k = of.data.params.evaluate.k
    ranking = rank(
        TorchScorer(model), of.data.sequences, chosen, len(of.data.encoder.items), k=k,
        exclude_seen=of.data.encoder.exclude_seen,
    )  # fmt: skip
    return user_means(ndcg(ranking.ranks, k), chosen.user)[1]


def holds(before: np.ndarray, after: np.ndarray, of: Contest) -> bool:
    """Is what users lose surely within the margin?"""
    gate = of.data.params.gate
    if not len(before):
        return False
    return paired_gain(after, before, gate.resamples, of.seed).lower_bound > -gate.margin
