"""One step of training: a batch is cut, moved to the device, and learned from."""

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from decant.features.sequences import Sequences
from decant.models.recommender import Recommender
from decant.params import Training
from decant.training.batches import Windows, cut, cut_masked, random_mask
from decant.training.catalogue import draw
from decant.training.lesson import Batch, Lesson
from decant.training.pupil import Pupil, total_of
from decant.training.validation import to_tensors

CLIP = 1.0


def take_step(pupil: Pupil, windows: Windows, seeds: tuple[int, int, int]) -> tuple[Tensor, int]:
    """One step of the optimizer: mean loss without its graph, and how much was predicted."""
    fabric = pupil.fabric
    batch = prepare_batch(
        pupil.sequences, part_of(fabric, windows), pupil.lesson, pupil.model, fabric.device,
        settings=pupil.settings, likely=pupil.likely, rng=np.random.default_rng(seeds),
    )  # fmt: skip
    if fabric.global_rank >= len(windows):  # a last batch, smaller than there are processes
        batch = batch.without_predictions()
    own = batch.predictions
    everybody = round(total_of(fabric, own))
    if not everybody:
        return torch.zeros((), device=fabric.device), 0
    pupil.optimizer.zero_grad()
    loss = pupil.objective(batch, own * fabric.world_size / everybody)
    fabric.backward(loss)
    nn.utils.clip_grad_norm_(pupil.model.parameters(), CLIP)
    pupil.optimizer.step()
    pupil.schedule.step()
    return loss.detach(), everybody


def part_of(fabric: Fabric, windows: Windows) -> Windows:
    """This process's part of a batch, at least one window."""
    first = min(fabric.global_rank, len(windows) - 1)
    return windows.take(np.arange(first, len(windows), fabric.world_size))


def prepare_batch(
    sequences: Sequences,
    windows: Windows,
    lesson: Lesson,
    model: Recommender,
    device: torch.device,
    *,
    settings: Training,
    rng: np.random.Generator,
    likely: Tensor | None = None,
) -> Batch:
    """Cut a batch and move it: inputs, targets, and what the predictions are compared with."""
    a = model.architecture
    if a.masked:
        hidden = random_mask(windows, settings.mask_share, rng)
        arrays, targets, position = cut_masked(
            sequences, windows, a.event_inputs, hidden, a.items + 1
        )
    else:
        arrays, targets, position = cut(sequences, windows, a.event_inputs)
    soft = None
    if lesson.soft is not None and lesson.soft_weight:
        rows = position[targets > 0]
        soft = (
            torch.from_numpy(lesson.soft.ids[rows].astype(np.int64)).to(device),
            torch.from_numpy(lesson.soft.log_probabilities[rows].astype(np.float32)).to(device),
        )
    sample = None if likely is None else draw(likely, settings.negatives)
    moved = torch.from_numpy(targets).to(device)
    return Batch(to_tensors(arrays, device), moved, soft, sample)
