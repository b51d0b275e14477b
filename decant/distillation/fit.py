"""Create and train models: the teacher, the general student and segment students."""

from dataclasses import replace

import numpy as np

from decant.distillation.start import start_student
from decant.models.build import architecture
from decant.models.recommender import Recommender
from decant.params.models import Distill, Training
from decant.training.loop import Plan, seeded, train
from decant.training.state import Report
from decant.training.supervision import Material, supervise


def new_model(
    material: Material, settings: Training, seed: int, teacher: Recommender | None = None
) -> Recommender:
    """Build an untrained model with initial weights that depend only on the seed.

    Args:
        teacher: source of a student's `init_item_embeddings` and `init_layers`; None: from scratch.
    """
    shape = architecture(settings, material.encoder, material.vectors)
    model = seeded(shape, material.vectors, seed)
    if isinstance(settings, Distill):
        start_student(model, teacher, settings)
    return model


def fit(
    model: Recommender,
    material: Material,
    settings: Training,
    plan: Plan,
    members: np.ndarray | None = None,
) -> Report:
    """Train `model` in place on all users' events, or for the `members` of one segment.

    Raises:
        See `train` and `supervise`.
    """
    supervision = supervise(material, settings, members)
    if not plan.keep_start:  # no penalty on the distance from random initial weights
        supervision = replace(supervision, l2_sp=0.0)
    return train(model, material.sequences, supervision, settings, plan)
