"""A model in training: what one step of it needs, and how far it has come."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule, _FabricOptimizer
from torch import Tensor, nn

from decant.features.sequences import Sequences, training_counts
from decant.models.cold_start import untrained
from decant.models.recommender import Recommender
from decant.params.models import Training
from decant.training.device import make_fabric
from decant.training.objective import Objective, popularity_strata
from decant.training.optimizer import make_optimizer, make_schedule
from decant.training.supervision import Supervision
from decant.training.validate import validate

RARE = 0.75  # exponent of an item's events where negatives are drawn (Mikolov et al. 2013)


@dataclass
class Report:
    """How training went: one number per epoch, and which epoch was kept (-1: the start).

    `seconds`: of wall clock, validation included, over all runs of a training that was killed.
    """

    losses: list[float] = field(default_factory=list)
    ndcg: list[float] = field(default_factory=list)
    start_ndcg: float | None = None
    best_epoch: int = -1
    events: int = 0
    seconds: float = field(default=0.0, compare=False)

    @property
    def best(self) -> float:
        """The NDCG of what is kept now; below any possible one if nothing is."""
        if self.best_epoch >= 0:
            return self.ndcg[self.best_epoch]
        return -1.0 if self.start_ndcg is None else self.start_ndcg


@dataclass
class Progress:
    """How far a training has come; what a checkpoint holds beside the model.

    `step`: batches of this epoch that are done; `losses`, `events`: of those. `shuffling`: the
    generator's state when the epoch began. `best`: the weights that are kept now.
    """

    report: Report
    shuffling: dict[str, Any]
    best: dict[str, Tensor]
    step: int = 0
    losses: list[Tensor] = field(default_factory=list)
    events: int = 0


@dataclass(frozen=True)
class TrainState:
    """A model in training and everything that one step of it needs."""

    model: Recommender
    sequences: Sequences
    supervision: Supervision
    settings: Training
    fabric: Fabric
    objective: _FabricModule
    optimizer: _FabricOptimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    steps: int  # of one epoch
    seed: int
    likely: Tensor | None  # how likely each item is drawn as a negative; None: the full softmax

    def validate(self) -> float:
        """NDCG@10 now; every process takes its share of the cases."""
        fabric, selection = self.fabric, self.supervision.selection
        mine = selection.take(np.arange(fabric.global_rank, len(selection), fabric.world_size))
        ndcg = validate(
            self.model, self.sequences, replace(self.supervision, selection=mine), fabric.autocast
        )
        return total_of(fabric, ndcg * len(mine)) / max(len(selection), 1)


def make_state(
    model: Recommender,
    sequences: Sequences,
    supervision: Supervision,
    settings: Training,
    epochs: int,
    learning_rate: float,
    seed: int,
) -> TrainState:
    """Put `model` on its device and make what trains it for that many epochs."""
    fabric = make_fabric(settings)
    model.to(fabric.device)  # before the objective copies the weights it holds on to
    windows = supervision.windows(np.random.default_rng(seed))
    steps = -(-len(windows) // settings.batch_size)
    module = make_objective(model, supervision, sequences)
    optimizer = make_optimizer(module, learning_rate, settings.weight_decay)
    schedule = make_schedule(optimizer, max(1, steps) * epochs)
    objective, wrapped = fabric.setup(module, optimizer)
    counts = training_counts(sequences, model.architecture.items)
    likely = likely_negatives(counts, settings)
    return TrainState(
        model, sequences, supervision, settings, fabric, objective, wrapped, schedule, steps, seed,
        None if likely is None else likely.to(fabric.device),
    )  # fmt: skip


def make_objective(model: Recommender, supervision: Supervision, sequences: Sequences) -> Objective:
    """Model and losses; the losses know how often each item was met in training."""
    counts = training_counts(sequences, model.architecture.items)
    strata = torch.from_numpy(popularity_strata(counts)).to(model.bias.device)
    return Objective(model, supervision, untrained(counts), strata)


def likely_negatives(counts: np.ndarray, settings: Training) -> Tensor | None:
    """How likely each item is drawn as a negative [N + 1]; None where none are drawn.

    By its training events, dampened; items without any are no wrong answers.
    """
    if len(counts) - 1 <= settings.full_softmax_max_items:
        return None
    return torch.from_numpy(counts**RARE)


def copied(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def total_of(fabric: Fabric, number: float) -> float:
    """The sum of a number over all processes."""
    if fabric.world_size == 1:
        return number
    total = fabric.all_reduce(
        torch.tensor(number, dtype=torch.float64, device=fabric.device), reduce_op="sum"
    )
    assert isinstance(total, Tensor)
    return float(total)
