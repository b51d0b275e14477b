"""Items without training events: a model only knows their content vectors."""

import numpy as np
import torch
from torch import Tensor

from decant.models.recommender import Recommender

RARE = 0.1  # share of rarest trained items whose mean bias new items get


@torch.no_grad()
def reset_untrained(model: Recommender, counts: np.ndarray) -> int:
    """Reset the parameters of items without training events; returns their number.

    Their id vectors are noise and become zero; their bias becomes the mean of the rarest trained
    items.

    Args:
        counts: int [N + 1], training events of each item; index 0 is padding.
    """
    known = np.flatnonzero(counts[1:]) + 1
    new = np.flatnonzero(counts[1:] == 0) + 1
    if not len(new) or not len(known):
        return len(new)
    rarest = known[np.argsort(counts[known], kind="stable")][: max(1, round(RARE * len(known)))]
    index = torch.from_numpy(new).to(model.bias.device)
    model.item.weight[index] = 0
    model.bias[index] = model.bias[torch.from_numpy(rarest).to(model.bias.device)].mean()
    return len(new)


def untrained(counts: np.ndarray) -> Tensor | None:
    """bool [N + 1]: items without training events; None if there are none."""
    new = counts == 0
    new[0] = False
    return torch.from_numpy(new) if new.any() else None
