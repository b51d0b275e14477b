"""One trial: a model trained on every fold with the trial's settings."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from decant.distillation.fit import fit, new_model
from decant.evaluation.metrics import mean_over_users, ndcg
from decant.evaluation.scoring import rank
from decant.features.holdout import selection_cases
from decant.features.sequences import Sequences
from decant.models.build import parameter_count
from decant.models.recommender import Recommender
from decant.params.models import Training
from decant.training.loop import Plan
from decant.training.supervision import Material
from decant.training.validate import K, TorchScorer
from decant.tuning.search import OnEpoch
from decant.tuning.study import save_cases


@dataclass(frozen=True)
class TrialData:
    """Data shared by all trials; `teacher`: the model that a student may start from."""

    material: Material
    folds: list[Sequences]
    seed: int
    teacher: Recommender | None = None


def run_trial(
    data: TrialData, settings: Training, cases: Path, on_epoch: OnEpoch = lambda *_: None
) -> dict[str, Any]:
    """Train on each fold; write the quality of each case to the file `cases`.

    Returns:
        `value`: mean NDCG@10 over the folds; `folds`: NDCG@10, best epoch and number of cases of
        each; `parameters` of the model.

    Raises:
        LossNotFiniteError, NothingToLearnError, MissingDeviceError: see `train`; any error of
            `on_epoch`.
    """
    folds, users, quality = [], [], []
    for number, fold in enumerate(data.folds, 1):
        material = replace(data.material, sequences=fold)
        model, best_epoch = train_fold(
            material, settings, data.seed, partial(on_epoch, number), data.teacher
        )
        encoder, selected = material.encoder, selection_cases(fold, material.cases_per_user)
        ranking = rank(
            TorchScorer(model), fold, selected, len(encoder.items), k=K,
            exclude_seen=encoder.exclude_seen,
        )  # fmt: skip
        users.append(selected.user)
        quality.append(ndcg(ranking.ranks, K))
        ndcg_mean = mean_over_users(quality[-1], selected.user)
        folds.append({"ndcg": ndcg_mean, "epoch": best_epoch, "cases": len(selected)})
    save_cases(cases, np.concatenate(users), np.concatenate(quality))
    value = float(np.mean([fold["ndcg"] for fold in folds]))
    return {"value": value, "folds": folds, "parameters": parameter_count(model)}


def train_fold(
    material: Material,
    settings: Training,
    seed: int,
    on_epoch: Callable[[int, float], None],
    teacher: Recommender | None = None,
) -> tuple[Recommender, int]:
    """Train a teacher or a general student; return it and its best epoch, from 1."""
    model = new_model(material, settings, seed, teacher)
    plan = Plan(settings.epochs, settings.learning_rate, seed, on_epoch=on_epoch)
    report = fit(model, material, settings, plan)
    return model, report.best_epoch + 1
