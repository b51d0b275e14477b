"""The state and the progress of a training."""

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

RARE = 0.75  # exponent of item counts for drawing negatives (Mikolov et al. 2013)


@dataclass
class Report:
    """Results of a training: one number per epoch, and the epoch that was kept (-1: the start).

    `arithmetic`: device and number format, see `device.arithmetic`. `seconds`: wall-clock time
    including validation, summed over all runs of a resumed training. `experts`: what was chosen
    after it, see `distillation.gates`.
    """

    losses: list[float] = field(default_factory=list)
    ndcg: list[float] = field(default_factory=list)
    start_ndcg: float | None = None
    best_epoch: int = -1
    events: int = 0
    arithmetic: dict[str, str | int] = field(default_factory=dict)
    seconds: float = field(default=0.0, compare=False)
    experts: dict[str, Any] | None = None

    @property
    def best(self) -> float:
        """The NDCG of the best weights so far; below any possible one if there are none."""
        if self.best_epoch >= 0:
            return self.ndcg[self.best_epoch]
        return -1.0 if self.start_ndcg is None else self.start_ndcg


@dataclass
class Progress:
    """Progress of a training, stored in checkpoints in addition to the model.

    `step`: number of finished batches of this epoch; `losses`, `events`: theirs. `shuffling`: state
    of the generator at the start of the epoch. `best`: the best weights so far.
    """

    report: Report
    shuffling: dict[str, Any]
    best: dict[str, Tensor]
    step: int = 0
    losses: list[Tensor] = field(default_factory=list)
    events: int = 0


@dataclass(frozen=True)
class TrainState:
    """A model in training and everything that a training step needs."""

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
    likely: Tensor | None  # weights for drawing negatives; None: the full softmax

    def validate(self) -> float:
        """Current NDCG@10; every process takes its share of the cases."""
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
    """Move `model` to its device and create its objective, optimizer and schedule."""
    fabric = make_fabric(settings)
    model.to(fabric.device)  # before the objective copies the initial weights
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
    """Model and losses, with the items' training counts for the losses."""
    counts = training_counts(sequences, model.architecture.items)
    strata = torch.from_numpy(popularity_strata(counts)).to(model.bias.device)
    return Objective(model, supervision, untrained(counts), strata)


def likely_negatives(counts: np.ndarray, settings: Training) -> Tensor | None:
    """Weights for drawing each item as a negative [N + 1]; None for the full softmax.

    A power of its training events; items without events are never drawn.
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
