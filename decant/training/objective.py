"""The training objective: weighted losses on labels and on the teacher's knowledge."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from decant.models.recommender import MASKED_SCORE, Recommender
from decant.training.losses import (
    hard_loss,
    l2_sp_loss,
    rce_kd_loss,
    relations_loss,
    soft_loss,
    states_loss,
    stratified_loss,
)
from decant.training.softmax import Sample, chunked, sampled_log_partition, scores_of
from decant.training.supervision import Supervision

PROJECTIONS = ("query", "key", "value")  # of attention
STRATA = 4  # of popularity, each with equally many events


@dataclass  # not frozen: Fabric copies the arguments of a module
class Batch:
    """The data of one step, on the model's device.

    `inputs`: int [B, T] per event input, `attributes` [B, A]. `targets` int [P]: the items to
    predict; `places` int [P]: their positions among the B · T. `soft`: a teacher's ids [P, K] and
    log-probabilities [P, K + 1]; `states` [P, D] and `relations` [3, B, T, D] are also a teacher's.
    `sample`: items drawn in place of a catalogue that is too large.
    """

    inputs: dict[str, Tensor]
    targets: Tensor
    places: Tensor
    soft: tuple[Tensor, Tensor] | None = None
    states: Tensor | None = None
    relations: Tensor | None = None
    sample: Sample | None = None

    @property
    def predictions(self) -> int:
        return len(self.targets)

    def without_predictions(self) -> "Batch":
        """A copy without predictions."""
        soft = None if self.soft is None else (self.soft[0][:0], self.soft[1][:0])
        states = None if self.states is None else self.states[:0]
        targets, places = self.targets[:0], self.places[:0]
        return replace(self, targets=targets, places=places, soft=soft, states=states)


class Objective(nn.Module):
    """Model and losses as one module, so that Fabric can wrap it."""

    new: Tensor | None
    strata: Tensor | None

    def __init__(
        self,
        model: Recommender,
        supervision: Supervision,
        new: Tensor | None = None,
        strata: Tensor | None = None,
    ) -> None:
        """`new` bool [N + 1]: items without training events, excluded from the negatives.
        `strata` int [N + 1]: each item's stratum of popularity, see `popularity_strata`."""
        super().__init__()
        self.model, self.supervision = model, supervision
        self.register_buffer("new", new, persistent=False)
        self.register_buffer("strata", strata, persistent=False)
        held = supervision.l2_sp > 0
        self.start = [p.detach().clone() for p in model.parameters()] if held else []
        self.projection = _projection(model, supervision)

    def forward(self, batch: Batch, share: float = 1.0) -> Tensor:
        """Mean loss of the predictions times `share`, their weight among all processes."""
        model, table = self.model, self.model.item_embeddings()
        targets, places = batch.targets, batch.places
        with captured(model, batch.relations is not None) as attending:
            encoded = model.encode(batch.inputs, table)
        states = encoded.flatten(0, 1).index_select(0, places).float()
        if batch.sample is None:
            window = places // encoded.shape[1]
            counts = self._counts(states, targets, window, table)
            total = chunked(self._of_scores(targets, batch, counts), states, table, model.bias)
        else:
            total = self._sampled(states, targets, table, batch, batch.sample)
        weights = self.supervision.weights
        if self.projection is not None and batch.states is not None:
            distance = states_loss(self.projection(states).float(), batch.states)
            total = total + weights.states * distance.sum()
        loss = total / max(len(targets), 1)
        if batch.relations is not None:
            inside = batch.inputs["items"] > 0
            own = torch.stack([attending[name] for name in PROJECTIONS])
            loss = loss + weights.relations * relations_loss(
                own, batch.relations, self.supervision.relation_heads, inside
            )
        loss = loss * share
        if self.supervision.l2_sp:
            distance = l2_sp_loss(list(model.parameters()), self.start)
            loss = loss + self.supervision.l2_sp * distance
        return loss

    def _counts(
        self, states: Tensor, targets: Tensor, window: Tensor, table: Tensor
    ) -> Tensor | None:
        """The weight of each prediction [P], mean 1; None if all are equal. `window` int [P]: the
        window of each.

        Only the share of windows with the highest mean loss counts: the conditional value at risk
        (Rockafellar and Uryasev 2000; as an objective Levy et al. 2020).
        """
        if self.supervision.cvar_fraction >= 1 or not len(targets):
            return None
        with torch.no_grad():
            losses = torch.empty(len(targets), device=states.device)

            def note(scores: Tensor, rows: slice) -> Tensor:
                losses[rows] = hard_loss(scores, targets[rows])
                return losses[rows].sum()

            chunked(note, states, table, self.model.bias)
        return worst_window_weights(losses, window, self.supervision.cvar_fraction)

    def _of_scores(
        self, targets: Tensor, batch: Batch, counts: Tensor | None
    ) -> Callable[[Tensor, slice], Tensor]:
        weights = self.supervision.weights

        def loss(scores: Tensor, rows: slice) -> Tensor:
            mixed = each(scores, rows)
            return (mixed if counts is None else mixed * counts[rows]).sum()

        def each(scores: Tensor, rows: slice) -> Tensor:
            candidates = scores if self.new is None else scores.masked_fill(self.new, MASKED_SCORE)
            hard = hard_loss(candidates, targets[rows])
            if batch.soft is None:
                return hard
            ids, teacher_log_probs = batch.soft[0][rows], batch.soft[1][rows]
            mixed = weights.hard * hard
            if weights.soft:
                own = scores.gather(1, ids) - torch.logsumexp(scores, dim=1, keepdim=True)
                mixed = mixed + weights.soft * soft_loss(
                    own, teacher_log_probs, self.supervision.temperature
                )
            if weights.rce_kd:
                mixed = mixed + weights.rce_kd * rce_kd_loss(scores, ids, teacher_log_probs)
            if weights.stratified and self.strata is not None:
                within = stratified_loss(scores.gather(1, ids), teacher_log_probs, self.strata[ids])
                mixed = mixed + weights.stratified * within
            return mixed

        return loss

    def _sampled(
        self, states: Tensor, targets: Tensor, table: Tensor, batch: Batch, sample: Sample
    ) -> Tensor:
        """Loss on a sample of a large catalogue: the student's top items and the worst windows are
        then unknown, so the soft loss replaces the list-wise one, and all windows count."""
        bias, weights = self.model.bias, self.supervision.weights
        of_targets = scores_of(states, targets[:, None], table, bias)[:, 0]
        whole = sampled_log_partition(states, of_targets, targets, sample, table, bias)
        hard = whole - of_targets
        if batch.soft is None:
            return hard.sum()
        ids, teacher_log_probs = batch.soft
        of_ids = scores_of(states, ids, table, bias)
        own = of_ids - whole[:, None]
        # the sum of the K separately estimated probabilities may exceed 1
        own = own - torch.logsumexp(own, dim=1, keepdim=True).clamp(min=0)
        soft = soft_loss(own, teacher_log_probs, self.supervision.temperature)
        mixed = weights.hard * hard + (weights.soft + weights.rce_kd) * soft
        if weights.stratified and self.strata is not None:
            mixed = mixed + weights.stratified * stratified_loss(
                of_ids, teacher_log_probs, self.strata[ids]
            )
        return mixed.sum()


def worst_window_weights(losses: Tensor, window: Tensor, share: float) -> Tensor:
    """The weight of each prediction [P], mean 1: zero outside the worst windows.

    Args:
        losses: [P]. window: int [P], the window of each. share: the share of windows that count.
    """
    numbers, place = window.unique(return_inverse=True)
    total = torch.zeros(len(numbers), device=losses.device).index_add(0, place, losses)
    mean = total / torch.bincount(place)
    kept = torch.zeros_like(mean)
    kept[mean.topk(max(1, round(share * len(numbers)))).indices] = 1
    counted = kept[place]
    return counted * len(losses) / counted.sum()


@contextmanager
def captured(model: Recommender, wanted: bool = True) -> Iterator[dict[str, Tensor]]:
    """Capture the last layer's queries, keys and values of a forward pass, [B, T, d] each."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str, layer: nn.Module, inputs: object, output: Tensor) -> None:
        outputs[name] = output

    attention = model.blocks[-1].attention
    hooks = [
        getattr(attention, name).register_forward_hook(partial(keep, name))
        for name in (PROJECTIONS if wanted else ())
    ]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def popularity_strata(counts: np.ndarray) -> np.ndarray:
    """Each item's stratum, int [N + 1]; all strata have about equally many training events, the
    first one the most popular items. `counts` float [N + 1]: training events."""
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    strata = np.empty(len(counts), dtype=np.int64)
    strata[order] = np.minimum(STRATA * before // max(counts.sum(), 1), STRATA - 1)
    return strata


def _projection(model: Recommender, supervision: Supervision) -> nn.Linear | None:
    """Projection of the student's states to the teacher's width; always initialised the same."""
    states = None if supervision.knowledge is None else supervision.knowledge.states
    if states is None or not supervision.weights.states:
        return None
    inner, outer = model.architecture.dimension, states[np.zeros(1, dtype=np.int64)].shape[1]
    projection = nn.Linear(inner, outer, bias=False)
    generator = torch.Generator().manual_seed(0)
    nn.init.normal_(projection.weight, std=inner**-0.5, generator=generator)
    return projection
