"""One training step: slice a batch, move it to the device, update the weights."""

from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from decant.features.sequences import Sequences
from decant.models.recommender import Recommender
from decant.params.models import Training
from decant.training.batches import Windows, cut, cut_masked, random_mask
from decant.training.objective import Batch
from decant.training.softmax import draw
from decant.training.state import TrainState, total_of
from decant.training.supervision import Rows, Supervision
from decant.training.validate import to_tensor, to_tensors

CLIP = 1.0


def take_step(
    state: TrainState, windows: Windows, seeds: tuple[int, int, int]
) -> tuple[Tensor, int]:
    """One optimizer step; returns the detached mean loss and the number of predictions."""
    fabric = state.fabric
    batch = prepare_batch(
        state.sequences, part_of(fabric, windows), state.supervision, state.model, fabric.device,
        settings=state.settings, likely=state.likely, rng=np.random.default_rng(seeds),
    )  # fmt: skip
    if fabric.global_rank >= len(windows):  # a last batch with fewer windows than processes
        batch = batch.without_predictions()
    own_predictions = batch.predictions
    total_predictions = round(total_of(fabric, own_predictions))
    if not total_predictions:
        return torch.zeros((), device=fabric.device), 0
    state.optimizer.zero_grad()
    loss = state.objective(batch, own_predictions * fabric.world_size / total_predictions)
    fabric.backward(loss)
    nn.utils.clip_grad_norm_(state.objective.parameters(), CLIP)
    state.optimizer.step()
    state.schedule.step()
    return loss.detach(), total_predictions


def part_of(fabric: Fabric, windows: Windows) -> Windows:
    """This process's part of a batch, at least one window."""
    first = min(fabric.global_rank, len(windows) - 1)
    return windows.take(np.arange(first, len(windows), fabric.world_size))


def prepare_batch(
    sequences: Sequences,
    windows: Windows,
    supervision: Supervision,
    model: Recommender,
    device: torch.device,
    *,
    settings: Training,
    rng: np.random.Generator,
    likely: Tensor | None = None,
) -> Batch:
    """Slice a batch and move it to the device: inputs, targets, sample and the teacher's labels."""
    a = model.architecture
    if a.masked:
        masked = random_mask(windows, settings.mask_ratio, rng)
        arrays, targets, position = cut_masked(
            sequences, windows, a.event_inputs, masked, a.items + 1
        )
    else:
        arrays, targets, position = cut(sequences, windows, a.event_inputs)
    sample = None if likely is None else draw(likely, settings.negatives)
    teacher_labels = labels_at(supervision, targets, position, device)
    places = np.flatnonzero(targets)
    return Batch(
        to_tensors(arrays, device), to_tensor(targets.ravel()[places], device),
        to_tensor(places, device), sample=sample, **teacher_labels,
    )  # fmt: skip


def labels_at(
    supervision: Supervision, targets: np.ndarray, position: np.ndarray, device: torch.device
) -> dict[str, Any]:
    """The teacher's knowledge of the batch's predictions and positions."""
    knowledge, weights = supervision.knowledge, supervision.weights
    if knowledge is None:
        return {}

    def floats(rows: Rows, at: np.ndarray) -> Tensor:
        return to_tensor(rows[at].astype(np.float32), device)

    predicted, labels = position[targets > 0], dict[str, Any]()
    if weights.soft or weights.rce_kd or weights.stratified:
        ids = to_tensor(knowledge.ids[predicted].astype(np.int64), device)
        labels["soft"] = (ids, floats(knowledge.log_probabilities, predicted))
    if weights.states and knowledge.states is not None:
        labels["states"] = floats(knowledge.states, predicted)
    if weights.relations and knowledge.relations is not None:
        everywhere = floats(knowledge.relations, position.ravel())
        labels["relations"] = everywhere.unflatten(0, position.shape).permute(2, 0, 1, 3)
    return labels
