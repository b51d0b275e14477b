"""Fit the weights of experts, constant ones or gates, to what they say of unseen events.

First by likelihood, which is smooth far from the answer; then by a smooth NDCG, since what is
likeliest does not rank best: favourites that a user takes again should lead the list by more than
their probability says. Last, a scale makes scores logits of probabilities again, for labels.

Shapes: C cases, Q competing items.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional

from decant.distillation.gate_evidence import Evidence, combined, inputs, reset, restore
from decant.features.sequences import Cases, masked_items
from decant.models.experts import Experts
from decant.models.recommender import Recommender
from decant.training.supervision import Material

EPOCHS = 10  # by each loss
BATCH = 256
RATE, DECAY = 5e-3, 1e-2
CONSTANT_RATE = 2e-2  # of weights that read no signals, unless they start fitted: few, and far off
FEWEST_STEPS = 100  # so that a small group's gates can move
SOFTNESS = 0.15  # difference of scores at which an item counts as 0.73 of one above
HEAVY = 10.0  # weight of the smooth NDCG: its gradients are small
LARGEST_SCALE = 1e4  # by which scores are multiplied or divided at most
MOST_CALIBRATED = 2**25  # scores in memory

Loss = Callable[[Tensor, Tensor], Tensor]


def fit_gates(
    experts: Experts,
    evidence: Evidence,
    seed: int,
    *,
    gated: bool,
    start: list[Tensor] | None = None,
) -> None:
    """Fit weights to the evidence, in place, from ones that depend only on the seed, or from those
    in `start`.

    A user with n cases weighs √n in the likelihood, and as much as any other in the NDCG, which is
    a mean over users. Only the network of the signals decays, and not from `start`.
    """
    evidence = evidence.take(np.flatnonzero(evidence.target.numpy() >= 0))
    reset(experts, seed)
    rate, decay = (CONSTANT_RATE, DECAY) if start is None else (RATE, 0.0)
    if start is not None:
        restore(experts, start)
    if not len(evidence.user):
        return
    constant, network = experts.gate_buffers[:2], experts.gate_buffers[2:]
    groups: list[dict[str, Any]] = [{"params": constant, "lr": rate, "weight_decay": 0.0}]
    if gated:
        groups.append({"params": network, "lr": RATE, "weight_decay": decay})
    for loss, power in ((likelihood_loss, -0.5), (ndcg_loss, -1.0)):
        descend(experts, evidence, loss, weights(evidence, power), groups, seed)


def weights(evidence: Evidence, power: float) -> Tensor:
    """Weights of the cases, float [C], of mean 1: their user's number of cases to that power."""
    count = np.bincount(evidence.user)[evidence.user].astype(float) ** power
    return torch.from_numpy(count / count.mean()).to(torch.float32)


def descend(
    experts: Experts,
    evidence: Evidence,
    loss: Loss,
    weight: Tensor,
    groups: list[dict[str, Any]],
    seed: int,
) -> None:
    """Minimise the weighted mean of the loss over the cases, in place."""
    buffers = [buffer for group in groups for buffer in group["params"]]
    rng, size = np.random.default_rng(seed), len(evidence.user)
    batches = -(-size // BATCH)
    epochs = max(EPOCHS, -(-FEWEST_STEPS // batches))
    optimizer = torch.optim.AdamW([dict(group) for group in groups])
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [g["lr"] for g in groups], total_steps=epochs * batches + 1, pct_start=0.1
    )
    for buffer in buffers:
        buffer.requires_grad_(True)
    for _ in range(epochs):
        order = rng.permutation(size)
        for first in range(0, size, BATCH):
            rows = order[first : first + BATCH]
            part = evidence.take(rows)
            losses = loss(combined(experts, part), part.target)
            mean = (losses * weight[torch.from_numpy(rows)]).mean()
            optimizer.zero_grad()
            mean.backward()
            optimizer.step()
            schedule.step()
    for buffer in buffers:
        buffer.requires_grad_(False)


def likelihood_loss(scores: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of scores [C, Q] with the column of the target, [C]."""
    return functional.cross_entropy(scores, target, reduction="none")


def ndcg_loss(scores: Tensor, target: Tensor) -> Tensor:
    """−NDCG with a smooth rank, times `HEAVY`, [C] (Qin, Liu and Li 2010)."""
    own = scores.gather(1, target[:, None])
    above = torch.sigmoid((scores - own) / SOFTNESS).sum(1) - 0.5  # itself counts one half
    return -HEAVY / torch.log2(2 + above)


@torch.no_grad()
def calibrate(model: Recommender, material: Material, chosen: Cases) -> None:
    """Set the `scale` of the model's experts, in place: scores times this are likeliest as logits,
    over the whole catalogue.

    A temperature, as of Guo et al. 2017: what ranks best is not what probabilities should be.
    """
    assert model.experts is not None
    items, device = model.architecture.items, model.bias.device
    most = int(np.clip(MOST_CALIBRATED // (items + 1), 50, 1000))
    part = chosen.take(np.linspace(0, len(chosen) - 1, min(most, len(chosen))).astype(int))
    scores = model(inputs(model, material.sequences, part))
    masked = masked_items(
        material.sequences, part, items, exclude_seen=material.encoder.exclude_seen
    )
    scores = scores.masked_fill(torch.from_numpy(masked).to(device), -torch.inf)
    target = torch.from_numpy(np.asarray(material.sequences.items)[part.position].astype(np.int64))
    target = target.to(device)

    def missed(log_scale: float) -> float:
        return float(likelihood_loss(scores * math.exp(log_scale), target).mean())

    limit = math.log(LARGEST_SCALE)
    best = minimize_scalar(
        missed, bounds=(-limit, limit), method="bounded", options={"xatol": 0.01}
    )
    model.experts.scale.fill_(math.exp(best.x))
