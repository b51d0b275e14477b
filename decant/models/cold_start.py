"""Items that no training event has: what a model knows of them is their given vectors alone."""

import numpy as np
import torch
from torch import Tensor

from decant.models.recommender import Recommender

RARE = 0.1  # share of the trained items, the rarest, whose bias a new item gets


@torch.no_grad()
def reset_untrained(model: Recommender, counts: np.ndarray) -> int:
    """Take from items without an event what training has made of their id; returns how many.

    An id vector that nothing was learnt about is noise: it becomes zero, and the bias that of the
    rarest items that were trained.

    Args:
        counts: int [N + 1], training events of each item; index 0 is no item.
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
    """bool [N + 1]: real items that have no training event; None if there are none."""
    new = counts == 0
    new[0] = False
    return torch.from_numpy(new) if new.any() else None
