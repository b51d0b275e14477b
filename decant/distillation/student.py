"""Train students: the general one, segment students and variants, by the same call."""

from dataclasses import replace

import numpy as np
from tqdm import tqdm

from decant.distillation.adapters import adapt, merge
from decant.distillation.fit import fit, new_model
from decant.distillation.gates import add_experts, refit_gates
from decant.distillation.prior import with_prior
from decant.models.build import expert_shape, history_read
from decant.models.recommender import Recommender
from decant.models.shorten import shorten
from decant.params.models import Distill
from decant.training.checkpoint import Checkpoints
from decant.training.loop import Log, Plan
from decant.training.state import Report
from decant.training.supervision import Material


def train_student(
    material: Material,
    settings: Distill,
    seed: int,
    *,
    start: Recommender | None = None,
    teacher: Recommender | None = None,
    members: np.ndarray | None = None,
    log: Log | None = tqdm.write,
    checkpoints: Checkpoints | None = None,
) -> tuple[Recommender, Report]:
    """Train one student, either new or starting from another one.

    A new one may get experts of its own, see `settings.experts`; another keeps those it started
    with and fits their gates to its members.

    Args:
        start: the student to start from, changed in place; None: a new one.
        teacher: source of `init_item_embeddings` and `init_layers`; None: from scratch.
        members: the users of its segment; None: all users.
    """
    plan = Plan(settings.epochs, settings.learning_rate, seed, log=log, checkpoints=checkpoints)
    if start is None:
        model = new_model(material, settings, seed, teacher)
        report = fit(model, material, settings, plan, members)
    else:
        rate = settings.segment_learning_rate
        plan = replace(plan, epochs=settings.segment_epochs, learning_rate=rate, keep_start=True)
        model, report = fine_tune(start, material, settings, plan, members)
    if members is not None and settings.prior_weight:
        sequences = material.sequences
        with_prior(model, sequences, members, settings.prior_shrinkage, settings.prior_weight)
    quiet = log or (lambda line: None)
    if start is None:
        shape = expert_shape(settings, material.encoder)
        model, report.experts = add_experts(model, material, shape, seed, quiet)
    elif members is not None:
        report.experts = refit_gates(model, material, members, seed, quiet)
    return model, report


def fine_tune(
    start: Recommender,
    material: Material,
    settings: Distill,
    plan: Plan,
    members: np.ndarray | None,
) -> tuple[Recommender, Report]:
    """Fine-tune `start` for the users of one segment, regularised towards its weights.

    Each epoch has all windows of the segment and some of other users (`background_ratio` times
    as many). The start itself is kept if no epoch is better on the segment's selection cases.
    With `settings.adapter_rank` only adapters are trained, and then merged.
    """
    length = history_read(settings, material.encoder)
    model = shorten(start, length) if length < start.architecture.max_length else start
    if settings.adapter_rank:
        adapt(model, settings.adapter_rank, plan.seed)
    report = fit(model, material, settings, plan, members)
    if settings.adapter_rank:
        merge(model)
    return model, report
