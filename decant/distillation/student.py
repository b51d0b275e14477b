"""The students: the general one and every segment's are trained by the same call."""

import numpy as np
from tqdm import tqdm

from decant.distillation.adapters import adapt, merge
from decant.distillation.fit import fit, new_model
from decant.models.recommender import Recommender
from decant.params.models import Distill
from decant.training.checkpoint import Checkpoints
from decant.training.loop import Log, Plan
from decant.training.state import Report
from decant.training.supervision import Material


def distill_general(
    material: Material,
    settings: Distill,
    seed: int,
    log: Log | None = tqdm.write,
    checkpoints: Checkpoints | None = None,
    members: np.ndarray | None = None,
    teacher: Recommender | None = None,
) -> tuple[Recommender, Report]:
    """Train a new student on all users, or for the members of one segment.

    Args:
        teacher: source of `settings.start_items` and `start_layers`; None: from scratch.
    """
    model = new_model(material, settings, seed, teacher)
    plan = Plan(settings.epochs, settings.learning_rate, seed, log=log, checkpoints=checkpoints)
    return model, fit(model, material, settings, plan, members)


def distill_segment(
    start: Recommender,
    members: np.ndarray,
    material: Material,
    settings: Distill,
    seed: int,
    log: Log | None = tqdm.write,
    checkpoints: Checkpoints | None = None,
) -> tuple[Recommender, Report]:
    """Fine-tune `start`, in place, for the users of one segment, held near its weights.

    Each epoch sees all windows of the segment and a few of other users (`settings.others`, as a
    share of the segment's). The start itself is kept if no epoch is better on the segment's
    selection half of validation. With `settings.adapter_rank` only adapters learn, and are merged.
    """
    if settings.adapter_rank:
        adapt(start, settings.adapter_rank, seed)
    plan = Plan(
        settings.segment_epochs,
        settings.segment_learning_rate,
        seed,
        keep_start=True,
        log=log,
        checkpoints=checkpoints,
    )
    report = fit(start, material, settings, plan, members)
    if settings.adapter_rank:
        merge(start)
    return start, report
