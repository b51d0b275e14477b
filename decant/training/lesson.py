"""What a model is taught with, and the loss that it is taught by."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from decant.features.sequences import Cases, Sequences
from decant.features.validation import picks
from decant.models.recommender import HIDDEN, Recommender
from decant.training.batches import Windows, training_windows
from decant.training.catalogue import Sample, chunked, sampled_log_partition, scores_of
from decant.training.losses import anchor_loss, hard_loss, soft_loss


@dataclass(frozen=True)
class SoftLabels:
    """A teacher's top K for every event: `ids` int [E, K], `log_probabilities` float [E, K]."""

    ids: np.ndarray
    log_probabilities: np.ndarray


@dataclass(frozen=True)
class Lesson:
    """What a model is taught with.

    `windows`: what it learns from, drawn anew each epoch; `picks`: the validation cases that
    choose its best epoch; `soft`: a teacher's soft labels, which make `soft_weight` of the loss;
    `anchor`: how strongly the weights are held to where they start.
    """

    windows: Callable[[np.random.Generator], Windows]
    picks: Cases
    exclude_seen: bool
    soft: SoftLabels | None = None
    soft_weight: float = 0.0
    temperature: float = 1.0
    anchor: float = 0.0


def everybody(
    sequences: Sequences, max_length: int, cases_per_user: int, *, exclude_seen: bool
) -> Lesson:
    """All training events; one half of the validation users chooses the epoch."""
    windows = training_windows(sequences, max_length)
    return Lesson(lambda rng: windows, picks(sequences, cases_per_user), exclude_seen)


@dataclass  # not frozen: Fabric copies what goes into a module
class Batch:
    """One step's material, on the model's device.

    `inputs`: int [B, T] per event input, `attributes` [B, A]. `targets` int [B, T], 0 where
    nothing is predicted, P predictions in all. `soft`: ids and log-probabilities [P, K] of a
    teacher. `sample`: items drawn in place of a catalogue that is too large.
    """

    inputs: dict[str, Tensor]
    targets: Tensor
    soft: tuple[Tensor, Tensor] | None = None
    sample: Sample | None = None

    @property
    def predictions(self) -> int:
        return int((self.targets > 0).sum())

    def without_predictions(self) -> "Batch":
        """The same, with nothing to learn from."""
        soft = None if self.soft is None else (self.soft[0][:0], self.soft[1][:0])
        return replace(self, targets=torch.zeros_like(self.targets), soft=soft)


class Objective(nn.Module):
    """Model and losses as one module, so that Fabric can wrap it."""

    new: Tensor | None

    def __init__(self, model: Recommender, lesson: Lesson, new: Tensor | None = None) -> None:
        """`new` bool [N + 1]: items without a training event, which are no wrong answers."""
        super().__init__()
        self.model, self.lesson = model, lesson
        self.register_buffer("new", new, persistent=False)
        held = lesson.anchor > 0
        self.start = [p.detach().clone() for p in model.parameters()] if held else []

    def forward(self, batch: Batch, share: float = 1.0) -> Tensor:
        """Mean loss of the predictions, times `share`: what they count for among processes."""
        model, table = self.model, self.model.table()
        wanted = batch.targets > 0
        hidden, targets = model.hidden(batch.inputs, table)[wanted].float(), batch.targets[wanted]
        if batch.sample is None:
            total = chunked(self._of_scores(targets, batch), hidden, table, model.bias)
        else:
            total = self._sampled(hidden, targets, table, batch, batch.sample)
        loss = total / max(len(targets), 1) * share
        if self.lesson.anchor:
            distance = anchor_loss(list(model.parameters()), self.start)
            loss = loss + self.lesson.anchor * distance
        return loss

    def _of_scores(self, targets: Tensor, batch: Batch) -> Callable[[Tensor, slice], Tensor]:
        def loss(scores: Tensor, rows: slice) -> Tensor:
            told = scores if self.new is None else scores.masked_fill(self.new, HIDDEN)
            hard = hard_loss(told, targets[rows])
            if batch.soft is None:
                return hard.sum()
            ids, taught = batch.soft[0][rows], batch.soft[1][rows]
            own = scores.gather(1, ids) - torch.logsumexp(scores, dim=1, keepdim=True)
            return self._mixed(hard, own, taught)

        return loss

    def _sampled(
        self, hidden: Tensor, targets: Tensor, table: Tensor, batch: Batch, sample: Sample
    ) -> Tensor:
        bias = self.model.bias
        of_targets = scores_of(hidden, targets[:, None], table, bias)[:, 0]
        whole = sampled_log_partition(hidden, of_targets, targets, sample, table, bias)
        hard = whole - of_targets
        if batch.soft is None:
            return hard.sum()
        own = scores_of(hidden, batch.soft[0], table, bias) - whole[:, None]
        # estimated apart, the probabilities of the K may exceed 1 in all
        over = torch.logsumexp(own, dim=1, keepdim=True).clamp(min=0)
        return self._mixed(hard, own - over, batch.soft[1])

    def _mixed(self, hard: Tensor, own: Tensor, taught: Tensor) -> Tensor:
        weight = self.lesson.soft_weight
        soft = soft_loss(own, taught, self.lesson.temperature)
        return ((1 - weight) * hard + weight * soft).sum()
