"""The teacher's distribution at its training positions, experts included.

A table that was counted on a training event knows that event. So the tables are counted once for
each fold of users, from the users of all others, and asked about the fold alone.
"""

from dataclasses import replace

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from decant.distillation.gate_evidence import inputs
from decant.distillation.tables import pack
from decant.evaluation.baselines.mixture import count
from decant.features.sequences import Cases, Sequences, training_counts
from decant.models.experts import TOGETHER, Experts
from decant.models.recommender import Recommender

FOLDS = 5
MOST_SCORES = 2**20  # of a part, in memory for each expert


class CrossFitted:
    """A teacher with a copy of its experts for each fold of users.

    Args:
        half_life: days after which an event counts half in the tables; None: never.
    """

    def __init__(self, teacher: Recommender, sequences: Sequences, half_life: float | None) -> None:
        shape = teacher.architecture.experts
        assert shape is not None and teacher.experts is not None
        self.teacher, self.sequences = teacher, sequences
        self.fold = np.arange(sequences.users) % FOLDS
        self.experts = []
        items = teacher.architecture.items
        unread = None if TOGETHER in shape.names else sparse.csr_array((items + 1, items + 1))
        for number in range(FOLDS):
            others = without_users(sequences, self.fold == number)
            experts = Experts(shape, items)
            experts.load_state_dict(teacher.experts.state_dict())
            counts = count(others, items, half_life, unread)
            pack(experts, counts, training_counts(others, items))
            self.experts.append(experts.to(teacher.bias.device))

    @torch.inference_mode()
    def scores(self, deep: Tensor, events: np.ndarray) -> Tensor:
        """Scores of the network [P, N + 1] for these events (flat indices) → of everything
        together."""
        user = np.searchsorted(np.asarray(self.sequences.offsets), events, side="right") - 1
        together = torch.empty_like(deep)
        size = max(1, MOST_SCORES // deep.shape[1])
        for number, experts in enumerate(self.experts):
            own = np.flatnonzero(self.fold[user] == number)
            for start in range(0, len(own), size):
                rows = own[start : start + size]
                chosen = Cases(user[rows], events[rows])
                batch = inputs(self.teacher, self.sequences, chosen)
                index = torch.from_numpy(rows).to(deep.device)
                together[index] = experts(deep[index], batch) * experts.scale
        return together


def without_users(sequences: Sequences, left_out: np.ndarray) -> Sequences:
    """The sequences with no training events of some users, bool [U]."""
    split = np.where(left_out[:, None], 0, np.asarray(sequences.split))
    return replace(sequences, split=split)
