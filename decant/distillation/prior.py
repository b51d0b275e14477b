"""A group's prior: add the group's popularity to the item bias of the general student."""

import numpy as np
import torch

from decant.features.sequences import Sequences, training_counts
from decant.models.recommender import Recommender


def group_counts(sequences: Sequences, members: np.ndarray, items: int) -> np.ndarray:
    """Training events of the members with each item, float [N + 1]."""
    events = [
        np.asarray(sequences.items[start : start + trained])
        for start, trained in zip(
            sequences.offsets[members], sequences.split[members, 0], strict=True
        )
    ]
    taken = np.concatenate(events) if events else np.zeros(0, dtype=np.int64)
    return np.bincount(taken, minlength=items + 1).astype(np.float64)


def log_ratio(group: np.ndarray, overall: np.ndarray, shrinkage: float) -> np.ndarray:
    """Log ratio of each item's share in the group to its share overall, float [N + 1].

    The group's counts are smoothed by `shrinkage` additional events distributed like those of all
    users (a Dirichlet prior): 0 for items without any events.
    """
    share = overall / max(overall.sum(), 1.0)
    expected = share * (group.sum() + shrinkage)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log((group + shrinkage * share) / expected)
    return np.where(expected > 0, ratio, 0.0)


def with_prior(
    general: Recommender, sequences: Sequences, members: np.ndarray, shrinkage: float, weight: float
) -> Recommender:
    """Add `weight` times the group's log ratio to the item bias, in place."""
    items = general.architecture.items
    ratio = log_ratio(
        group_counts(sequences, members, items), training_counts(sequences, items), shrinkage
    )
    with torch.no_grad():
        general.bias.add_(torch.from_numpy(ratio).to(general.bias), alpha=weight)
    return general
