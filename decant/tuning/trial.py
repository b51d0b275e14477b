"""One trial: a model trained on every fold with the settings that it tries."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from decant.distillation.fit import fit, new_model
from decant.evaluation.metrics import ndcg
from decant.evaluation.scoring import rank
from decant.features.holdout import selection_cases
from decant.features.sequences import Sequences
from decant.models.build import parameter_count
from decant.models.recommender import Recommender
from decant.params.models import Training
from decant.training.loop import Plan
from decant.training.supervision import Material
from decant.training.validate import K, TorchScorer
from decant.tuning.cases import save_cases

OnEpoch = Callable[[int, int, float], None]  # fold, epoch (from 1), NDCG@10 of the epoch


@dataclass(frozen=True)
class Course:
    """What every trial is made on; `teacher`: what a student may start from."""

    material: Material
    folds: list[Sequences]
    seed: int
    teacher: Recommender | None = None


def run_trial(
    course: Course, settings: Training, cases: Path, on_epoch: OnEpoch = lambda *_: None
) -> dict[str, Any]:
    """Train on each fold; the quality of each case goes to the file `cases`.

    Returns:
        `value`: mean NDCG@10 of the folds, `folds`: of each, with the epoch that was best;
        `parameters` of the model.

    Raises:
        LossNotFinite, NothingToLearn, DeviceMissing: see `train`; what `on_epoch` raises.
    """
    done, users, quality = [], [], []
    for number, fold in enumerate(course.folds, 1):
        material = replace(course.material, sequences=fold)
        chosen = selection_cases(fold, material.cases_per_user)
        model, best_epoch = taught(
            material, settings, course.seed, _told(number, on_epoch), course.teacher
        )
        encoder = material.encoder
        ranking = rank(
            TorchScorer(model), fold, chosen, len(encoder.items), k=K,
            exclude_seen=encoder.exclude_seen,
        )  # fmt: skip
        users.append(chosen.user)
        quality.append(ndcg(ranking.ranks, K))
        done.append({"ndcg": float(quality[-1].mean()), "epoch": best_epoch, "cases": len(chosen)})
    save_cases(cases, np.concatenate(users), np.concatenate(quality))
    value = float(np.mean([fold["ndcg"] for fold in done]))
    return {"value": value, "folds": done, "parameters": parameter_count(model)}


def taught(
    material: Material,
    settings: Training,
    seed: int,
    on_epoch: Callable[[int, float], None],
    teacher: Recommender | None = None,
) -> tuple[Recommender, int]:
    """A teacher, or a general student, and its best epoch, from 1."""
    model = new_model(material, settings, seed, teacher)
    plan = Plan(settings.epochs, settings.learning_rate, seed, on_epoch=on_epoch)
    report = fit(model, material, settings, plan)
    return model, report.best_epoch + 1


def _told(fold: int, on_epoch: OnEpoch) -> Callable[[int, float], None]:
    return lambda epoch, value: on_epoch(fold, epoch, value)
