"""What a model is taught with, and the loss that it is taught by."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from decant.features.holdout import picks
from decant.features.sequences import Cases, Sequences
from decant.training.batches import Windows, training_windows


class Rows(Protocol):
    """An array, or one in several files, of which some rows are taken."""

    def __getitem__(self, rows: np.ndarray, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Knowledge:
    """What a teacher knows, a row for every event that it predicted.

    `ids` int [E, K], its top K; `log_probabilities` float [E, K + 1], theirs and that of the
    rest; if they were kept, `states` float [E, D], from which it predicted, and `relations` float
    [E, 3, D], the last layer's query, key and value at the position it predicted from.
    """

    ids: Rows
    log_probabilities: Rows
    states: Rows | None = None
    relations: Rows | None = None


@dataclass(frozen=True)
class Weights:
    """What each loss counts for. The first three are shares, the hard labels have what is left;
    the others come on top."""

    soft: float = 0.0
    listwise: float = 0.0
    strata: float = 0.0
    hidden: float = 0.0
    relations: float = 0.0

    @property
    def hard(self) -> float:
        return 1 - self.soft - self.listwise - self.strata


@dataclass(frozen=True)
class Lesson:
    """What a model is taught with.

    `windows`: what it learns from, drawn anew each epoch; `picks`: the validation cases that
    choose its best epoch; `knowledge`: a teacher's, which counts by its `weights`; `worst`: the
    share of each batch's windows that counts, those with the highest loss; `anchor`: how strongly
    the weights are held to where they start.
    """

    windows: Callable[[np.random.Generator], Windows]
    picks: Cases
    exclude_seen: bool
    knowledge: Knowledge | None = None
    weights: Weights = Weights()
    temperature: float = 1.0
    relation_heads: int = 1
    worst: float = 1.0
    anchor: float = 0.0


def everybody(
    sequences: Sequences, max_length: int, cases_per_user: int, *, exclude_seen: bool
) -> Lesson:
    """All training events; one half of the validation users chooses the epoch."""
    windows = training_windows(sequences, max_length)
    return Lesson(lambda rng: windows, picks(sequences, cases_per_user), exclude_seen)
