"""The teacher: trained on what was really taken or, better, taught by several like it as well."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from decant.distillation.fit import fit
from decant.distillation.knowledge import extract, load_knowledge
from decant.models.recommender import Recommender
from decant.params.models import Teacher
from decant.training.checkpoint import Checkpoints
from decant.training.loop import Log, Plan
from decant.training.state import Report
from decant.training.supervision import Material

LABELS = 100  # likeliest items of the ensemble that the teacher learns, per position
APART = 1000  # between the seeds of the ensemble, far from those of teachers side by side

NewModel = Callable[[int], Recommender]


@dataclass(frozen=True)
class TrainedTeacher:
    """A teacher and how its training went; of each model of the ensemble that taught it too."""

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
    """Train a teacher; with `settings.ensemble`, after so many others, by their mean.

    The teacher has the shape of those that teach it (born-again networks, Furlanello et al.
    2018). It need not be the seed that came out best by chance; what it gains depends on the data.

    Args:
        new_model: an untrained model of a seed.
        checkpoints: a folder for each model of the ensemble lies in theirs.

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
    taught = learn_from(members, material, checkpoints.folder)
    model, report = train_alone(taught, settings, seed, new_model(seed), checkpoints, log)
    return TrainedTeacher(model, report, reports)


def learn_from(members: list[Recommender], material: Material, folder: Path) -> Material:
    """The material with the soft labels of an ensemble, which are kept in `folder`."""
    if not members:
        return material
    rank = os.environ.get("RANK", "0")  # each of several processes works them out for itself
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
    """Train one model on all users, by the soft labels too where the material has some."""
    plan = Plan(settings.epochs, settings.learning_rate, seed, log=log, checkpoints=checkpoints)
    return model, fit(model, material, settings, plan)


def _named(log: Log, name: str) -> Log:
    return lambda line: log(f"{name}{line}")
