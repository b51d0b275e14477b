"""One student trainer: the general student and every segment's are the same call."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from decant.distillation.adapters import adapt, merge
from decant.distillation.start import start_student
from decant.features.encode import Encoder
from decant.features.holdout import of_users
from decant.features.sequences import Sequences
from decant.models.build import architecture
from decant.models.recommender import Recommender
from decant.params.models import Distill
from decant.training.batches import Windows, training_windows
from decant.training.checkpoint import Checkpoints
from decant.training.loop import Log, seeded, train
from decant.training.state import Report
from decant.training.supervision import Knowledge, Lesson, Weights, everybody


@dataclass(frozen=True)
class Material:
    """What every student learns from."""

    encoder: Encoder
    sequences: Sequences
    vectors: Mapping[str, np.ndarray]
    knowledge: Knowledge | None
    cases_per_user: int


def distill_general(
    material: Material,
    settings: Distill,
    seed: int,
    log: Log | None = tqdm.write,
    checkpoints: Checkpoints | None = None,
    members: np.ndarray | None = None,
    teacher: Recommender | None = None,
) -> tuple[Recommender, Report]:
    """Train the general student on everybody, or on some users alone.

    Args:
        teacher: where `settings.start_items` and `start_layers` are taken from; without, it
            starts from scratch.
    """
    shape = architecture(settings, material.encoder, material.vectors)
    model = seeded(shape, material.vectors, seed)
    start_student(model, teacher, settings)
    report = train(
        model,
        material.sequences,
        lesson_for(material, settings, members),
        settings,
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        seed=seed,
        log=log,
        checkpoints=checkpoints,
    )
    return model, report


def distill_segment(
    start: Recommender,
    members: np.ndarray,
    material: Material,
    settings: Distill,
    seed: int,
    log: Log | None = tqdm.write,
    checkpoints: Checkpoints | None = None,
) -> tuple[Recommender, Report]:
    """Go on training `start`, in place, for the users of one segment, held near where it starts.

    Each epoch sees all windows of the segment and a few of other users (`settings.others`, as a
    share of the segment's). The start itself is kept if no epoch is better on the segment's
    picking half of validation. With `settings.adapter_rank` only adapters learn, and are merged.
    """
    if settings.adapter_rank:
        adapt(start, settings.adapter_rank, seed)
    report = train(
        start,
        material.sequences,
        lesson_for(material, settings, members),
        settings,
        epochs=settings.segment_epochs,
        learning_rate=settings.segment_learning_rate,
        seed=seed,
        keep_start=True,
        log=log,
        checkpoints=checkpoints,
    )
    if settings.adapter_rank:
        merge(start)
    return start, report


def mixture(
    windows: Windows, members: np.ndarray, others: float
) -> Callable[[np.random.Generator], Windows]:
    """All windows of the members and, drawn anew each time, some of everybody else."""
    own = np.isin(windows.user, members)
    inside, outside = np.flatnonzero(own), np.flatnonzero(~own)
    count = min(len(outside), round(others * len(inside)))

    def draw(rng: np.random.Generator) -> Windows:
        guests = rng.choice(outside, count, replace=False) if count else outside[:0]
        return windows.take(np.concatenate([inside, guests]))

    return draw


def lesson_for(material: Material, settings: Distill, members: np.ndarray | None) -> Lesson:
    """What a student is taught with: everybody's windows, or those of one segment's members."""
    common = replace(
        plain_lesson(material),
        knowledge=material.knowledge,
        weights=Weights(
            settings.soft_weight,
            settings.list_weight,
            settings.strata_weight,
            settings.hidden_weight,
            settings.relations_weight,
        ),
        temperature=settings.temperature,
        relation_heads=settings.relation_heads,
        worst=settings.worst,
    )
    check_kept(settings, material.knowledge)
    if members is None:
        return common
    windows = training_windows(material.sequences, material.encoder.max_length)
    return replace(
        common,
        windows=mixture(windows, members, settings.others),
        picks=of_users(common.picks, members),
        anchor=settings.anchor,
    )


def check_kept(settings: Distill, known: Knowledge | None) -> None:
    """A loss without what it compares with would count for nothing, silently.

    Raises:
        ValueError: it was not kept when the knowledge was extracted.
    """
    if known is None:
        return
    if settings.hidden_weight and known.states is None:
        raise ValueError("distill.hidden_weight needs knowledge.states: true")
    if settings.relations_weight and known.relations is None:
        raise ValueError("distill.relations_weight needs knowledge.relations: true")


def plain_lesson(material: Material) -> Lesson:
    """What a model is taught with that has no teacher."""
    return everybody(
        material.sequences, material.encoder.max_length, material.cases_per_user,
        exclude_seen=material.encoder.exclude_seen,
    )  # fmt: skip
