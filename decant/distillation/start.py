"""Initialise a student from layers of its teacher, or from its item embeddings."""

from copy import copy

import numpy as np
import torch
from torch import nn

from decant.models.recommender import Recommender
from decant.models.warm_start import copy_weights
from decant.params.models import Distill


def start_student(student: Recommender, teacher: Recommender | None, settings: Distill) -> None:
    """Initialise from the teacher as configured; without a teacher, start from scratch."""
    if teacher is None:
        return
    if settings.init_item_embeddings:
        start_from_items(student, teacher)
    if settings.init_layers:
        start_from_layers(student, teacher, settings.init_layers)


def start_from_layers(
    student: Recommender, teacher: Recommender, layers: list[int]
) -> tuple[str, ...]:
    """Copy the item table, the embeddings of common inputs, and the given layers, as in DistilBERT
    (Sanh et al. 2019); both models have the same width and number of heads.

    Args:
        layers: layers of the teacher, from 0, one for each of the student's.

    Returns:
        Names of the weights that the teacher does not have.
    """
    chosen = copy(teacher)  # shares the weights; its own list of layers
    chosen._modules = dict(teacher._modules)
    chosen.blocks = nn.ModuleList(teacher.blocks[layer] for layer in layers)
    everything = np.arange(student.architecture.items + 1)
    return copy_weights(student, chosen, everything)[1]


@torch.no_grad()
def start_from_items(student: Recommender, teacher: Recommender) -> float:
    """Initialise the item table from the teacher's, including content vectors, and the item bias.

    If the student is narrower, it gets the principal components, scaled to the standard deviation
    of the teacher's table. If it is wider, the other columns stay as they are.

    Returns:
        The share of the table's variance that is kept.
    """
    items, width = teacher.item_embeddings()[1:].to(student.bias), student.architecture.dimension
    kept, share = items, 1.0
    if width < items.shape[1]:
        centred = items - items.mean(dim=0)
        _, sizes, directions = torch.linalg.svd(centred, full_matrices=False)
        kept = centred @ directions[:width].T
        kept = kept * (items.std() / kept.std().clamp(min=1e-12))
        share = float(sizes[:width].square().sum() / sizes.square().sum().clamp(min=1e-12))
    own = student.item_embeddings()[1:] - student.item.weight[1:]  # contribution of content vectors
    columns = kept.shape[1]
    student.item.weight[1:, :columns] = kept - own[:, :columns]
    student.bias.copy_(teacher.bias)
    return share
