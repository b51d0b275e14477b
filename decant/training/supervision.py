"""Training material, and the supervision derived from it: windows, labels, losses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from decant.features.encode import Encoder
from decant.features.holdout import of_users, selection_cases
from decant.features.sequences import Cases, Sequences
from decant.models.build import history_read
from decant.params.models import Distill, Teacher, Training
from decant.training.batches import Windows, training_windows


class Rows(Protocol):
    """An array, in one or several files, that is indexed by rows."""

    def __getitem__(self, rows: np.ndarray, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Knowledge:
    """The teacher's knowledge, one row per predicted event.

    `ids` int [E, K]: its top K; `log_probabilities` float [E, K + 1]: theirs and that of the rest;
    optional: `states` float [E, D] that it predicted from, and `relations` float [E, 3, D], the
    last layer's query, key and value at that position.
    """

    ids: Rows
    log_probabilities: Rows
    states: Rows | None = None
    relations: Rows | None = None


@dataclass(frozen=True)
class Material:
    """The training data of a model; `knowledge` is the teacher's, for a student.

    `vectors`: float [N + 1, width] by name, of the items' content.
    """

    encoder: Encoder
    sequences: Sequences
    vectors: Mapping[str, np.ndarray]
    knowledge: Knowledge | None
    cases_per_user: int


@dataclass(frozen=True)
class LossWeights:
    """The weight of each loss. The first three are shares, with the rest for the hard labels; the
    others are added."""

    soft: float = 0.0
    rce_kd: float = 0.0
    stratified: float = 0.0
    states: float = 0.0
    relations: float = 0.0

    @property
    def hard(self) -> float:
        return 1 - self.soft - self.rce_kd - self.stratified


@dataclass(frozen=True)
class Supervision:
    """The windows and labels that a model is trained on, and their weights.

    `windows`: drawn again in each epoch; `selection`: the validation cases that select the best
    epoch; `knowledge`: the teacher's, weighted by the loss `weights`; `cvar_fraction`: share of
    each batch's windows with the highest loss, the only ones to count; `l2_sp`: weight of the
    distance from the initial weights.
    """

    windows: Callable[[np.random.Generator], Windows]
    selection: Cases
    exclude_seen: bool
    knowledge: Knowledge | None = None
    weights: LossWeights = LossWeights()
    temperature: float = 1.0
    relation_heads: int = 1
    cvar_fraction: float = 1.0
    l2_sp: float = 0.0


def supervise(
    material: Material, settings: Training, members: np.ndarray | None = None
) -> Supervision:
    """The supervision of one model: all users' windows, or those of one segment's `members`.

    Raises:
        ValueError: the knowledge lacks what a weighted loss needs.
    """
    encoder, sequences = material.encoder, material.sequences
    windows = training_windows(sequences, history_read(settings, encoder))
    selection = selection_cases(sequences, material.cases_per_user)
    weights = loss_weights(settings)
    check_kept(weights, material.knowledge)
    if not isinstance(settings, Distill):
        return Supervision(
            lambda rng: windows, selection, encoder.exclude_seen, material.knowledge, weights
        )
    of_segment = members is not None
    return Supervision(
        (lambda rng: windows)
        if members is None
        else mixture(windows, members, settings.background_ratio),
        selection if members is None else of_users(selection, members),
        encoder.exclude_seen,
        material.knowledge,
        weights,
        settings.temperature,
        settings.relation_heads,
        settings.cvar_fraction,
        settings.l2_sp if of_segment else 0.0,
    )


def loss_weights(settings: Training) -> LossWeights:
    """The loss weights in the settings of a teacher or a student."""
    if isinstance(settings, Distill):
        return LossWeights(
            settings.soft_weight,
            settings.rce_kd_weight,
            settings.stratified_weight,
            settings.states_weight,
            settings.attention_relation_weight,
        )
    if isinstance(settings, Teacher):
        return LossWeights(soft=settings.soft_weight)
    return LossWeights()


def check_kept(weights: LossWeights, knowledge: Knowledge | None) -> None:
    """Check that the knowledge has everything that weighted losses need.

    Raises:
        ValueError: states or relations were not extracted; the loss would silently be zero.
    """
    if knowledge is None:
        return
    if weights.states and knowledge.states is None:
        raise ValueError("distill.states_weight needs knowledge.states: true")
    if weights.relations and knowledge.relations is None:
        raise ValueError("distill.attention_relation_weight needs knowledge.relations: true")


def mixture(
    windows: Windows, members: np.ndarray, background_ratio: float
) -> Callable[[np.random.Generator], Windows]:
    """All windows of the members and a sample of other users' windows, drawn again each time.

    Args:
        background_ratio: windows of others ÷ windows of the members.
    """
    own = np.isin(windows.user, members)
    inside, outside = np.flatnonzero(own), np.flatnonzero(~own)
    count = min(len(outside), round(background_ratio * len(inside)))

    def draw(rng: np.random.Generator) -> Windows:
        background = rng.choice(outside, count, replace=False) if count else outside[:0]
        return windows.take(np.concatenate([inside, background]))

    return draw
