"""A student that starts from layers of its teacher."""

from copy import copy

import numpy as np
from torch import nn

from decant.models.recommender import Recommender
from decant.models.transfer import copy_weights


def start_from_layers(
    student: Recommender, teacher: Recommender, layers: list[int]
) -> tuple[str, ...]:
    """Copy the item table, what both read, and the chosen layers, as DistilBERT does (Sanh et al.
    2019); both have one width and as many heads.

    Args:
        layers: of the teacher, from 0, one for each of the student's.

    Returns:
        The weights that the teacher does not have.
    """
    chosen = copy(teacher)  # shares the weights; its own list of layers
    chosen._modules = dict(teacher._modules)
    chosen.blocks = nn.ModuleList(teacher.blocks[layer] for layer in layers)
    everything = np.arange(student.architecture.items + 1)
    return copy_weights(student, chosen, everything)[1]
