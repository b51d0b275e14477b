"""Train the teacher on hard labels, optionally also on the soft labels of an ensemble."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from decant.distillation.fit import fit
from decant.distillation.gates import add_experts
from decant.distillation.knowledge import extract, load_knowledge
from decant.models.build import expert_shape
from decant.models.recommender import Recommender
from decant.params.models import Teacher
from decant.training.checkpoint import Checkpoints
from decant.training.loop import Log, Plan
from decant.training.state import Report
from decant.training.supervision import Material

LABELS = 100  # top items of the ensemble in the soft labels, per position
APART = 1000  # between the seeds of the ensemble, to not coincide with those of other teachers

NewModel = Callable[[int], Recommender]


@dataclass(frozen=True)
class TrainedTeacher:
    """A teacher with its training report, and those of the ensemble's models."""

    model: Recommender
    report: Report
    ensemble: list[Report]


def train_teacher(
    material: Material,
    settings: Teacher,
    seed: int,
    new_model: NewModel,
    checkpoints: Checkpoints,
    log: Log | None = None,
) -> TrainedTeacher:
    """Train a teacher; with `settings.ensemble`, also on the mean of that many other models; with
    `settings.experts`, tables of counts are added.

    The ensemble's models have the shape of the teacher (born-again networks, Furlanello et al.
    2018). This avoids depending on a lucky seed; the gain depends on the data.

    Args:
        new_model: seed → an untrained model.
        checkpoints: each model of the ensemble gets a subfolder of theirs.

    Raises:
        TimeUpError and others, see `train`.
    """
    members, reports = [], []
    for number in range(1, settings.ensemble + 1):
        own = seed + APART * number
        kept = replace(checkpoints, folder=checkpoints.folder / f"ensemble-{number}")
        own_log = None if log is None else _named(log, f"ensemble {number}/{settings.ensemble}: ")
        model, report = train_alone(material, settings, own, new_model(own), kept, own_log)
        members.append(model)
        reports.append(report)
    labelled = learn_from(members, material, checkpoints.folder)
    model, report = train_alone(labelled, settings, seed, new_model(seed), checkpoints, log)
    shape = expert_shape(settings, material.encoder)
    model, report.experts = add_experts(model, material, shape, seed, log or (lambda line: None))
    return TrainedTeacher(model, report, reports)


def learn_from(members: list[Recommender], material: Material, folder: Path) -> Material:
    """The material with the soft labels of an ensemble, written to `folder`."""
    if not members:
        return material
    rank = os.environ.get("RANK", "0")  # each process computes its own labels
    written = folder / f"labels-{rank}"
    shutil.rmtree(written, ignore_errors=True)
    written.mkdir(parents=True)
    extract(members, material.sequences, written, LABELS)
    return replace(material, knowledge=load_knowledge(written))


def train_alone(
    material: Material,
    settings: Teacher,
    seed: int,
    model: Recommender,
    checkpoints: Checkpoints,
    log: Log | None,
) -> tuple[Recommender, Report]:
    """Train one model on all users, also on the soft labels if the material has any."""
    plan = Plan(settings.epochs, settings.learning_rate, seed, log=log, checkpoints=checkpoints)
    return model, fit(model, material, settings, plan)


def _named(log: Log, name: str) -> Log:
    return lambda line: log(f"{name}{line}")
