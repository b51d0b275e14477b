"""Shrink segments' students towards the one they started from: θ₀ + λ (θ - θ₀).

Interpolating the weights of a model and its fine-tuned copy often beats both (Wortsman et al.
2022). Each segment's λ is chosen on its users of the selection half; the evidence of a small
segment is shrunk towards what all segments show (empirical Bayes). Nothing is trained, and the
result costs as much to serve as the student itself.

Shapes: V users of a segment, L values of λ, G segments.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from decant.evaluation.metrics import ndcg, user_means
from decant.evaluation.scoring import rank
from decant.features.holdout import of_users, selection_cases
from decant.models.recommender import Recommender
from decant.training.supervision import Material
from decant.training.validate import K, TorchScorer

GRID = (0.0, 0.25, 0.5, 0.75, 1.0)  # values of λ; 0: the start itself, 1: the student as trained
FOLDS = 2
FEWEST = 2  # users of a fold, for a standard error


@dataclass(frozen=True)
class Shrunk:
    """The choice for one segment.

    `weight`: λ. `gain`: cross-fitted gain over the start in NDCG per user: each fold of users is
    measured at the λ that the others chose. `users`: those it was measured on.
    """

    weight: float
    gain: float
    users: int


def interpolate(start: Recommender, student: Recommender, weight: float) -> Recommender:
    """A model with the weights `start + weight * (student - start)`; same architecture as both.

    Raises:
        ValueError: the architectures differ.
    """
    if start.architecture != student.architecture:
        raise ValueError("only models of the same architecture can be interpolated")
    mixed = Recommender(student.architecture)
    before, after = start.state_dict(), student.state_dict()
    mixed.load_state_dict(
        {
            name: torch.lerp(before[name], value, weight) if value.is_floating_point() else value
            for name, value in after.items()
        }
    )
    return mixed.eval()


def measure_grid(
    start: Recommender, student: Recommender, material: Material, members: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """NDCG@10 of the members on the selection half, for each λ → (users, int [V]; float [V, L])."""
    selection = of_users(selection_cases(material.sequences, material.cases_per_user), members)
    if not len(selection):
        return np.zeros(0, dtype=np.int64), np.zeros((0, len(GRID)))
    columns = []
    for weight in GRID:
        ranking = rank(
            TorchScorer(interpolate(start, student, weight)),
            material.sequences,
            selection,
            len(material.encoder.items),
            k=K,
            exclude_seen=material.encoder.exclude_seen,
        )
        users, quality = user_means(ndcg(ranking.ranks, K), selection.user)
        columns.append(quality)
    return users, np.stack(columns, axis=1)


def choose(measured: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Shrunk]:
    """Choose λ for each segment, two-fold: the mean of the folds' choices.

    Args:
        measured: users, int [V], and their NDCG for each λ, float [V, L], by segment.
    """
    gains = {name: quality - quality[:, :1] for name, (_, quality) in measured.items()}
    folds = {name: fold_of(users) for name, (users, _) in measured.items()}
    chosen = [
        best_weights({name: gains[name][folds[name] != fold] for name in gains})
        for fold in range(FOLDS)
    ]
    result = {}
    for name, gain in gains.items():
        columns = np.array([GRID.index(choice[name]) for choice in chosen])
        honest = gain[np.arange(len(gain)), columns[folds[name]]]
        mean = float(np.mean([choice[name] for choice in chosen]))
        result[name] = Shrunk(mean, float(honest.mean()) if len(gain) else 0.0, len(gain))
    return result


def best_weights(gains: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The λ with the highest posterior gain of each segment; the lowest in a tie.

    Args:
        gains: gain over the start of each user, float [V, L], by segment.
    """
    usable = [name for name in gains if len(gains[name]) >= FEWEST]
    posterior = {name: np.zeros(len(GRID)) for name in gains}
    if usable:
        means = np.stack([gains[name].mean(axis=0) for name in usable])
        own = np.stack([gains[name].var(axis=0, ddof=1) for name in usable])
        sizes = np.array([len(gains[name]) for name in usable])[:, None]
        pooled = ((sizes - 1) * own).sum(axis=0) / (sizes - 1).sum()
        errors = np.maximum(own, pooled) / sizes  # of the means, squared
        for column in range(1, len(GRID)):
            shrunk, overall = empirical_bayes(means[:, column], errors[:, column])
            for name in gains:
                posterior[name][column] = overall
            for name, value in zip(usable, shrunk, strict=True):
                posterior[name][column] = value
    return {name: GRID[int(values.argmax())] for name, values in posterior.items()}


def empirical_bayes(means: np.ndarray, variances: np.ndarray) -> tuple[np.ndarray, float]:
    """Posterior means of normal effects, float [G], and their common mean.

    The effects' own variance is the moment estimator of DerSimonian & Laird (1986).

    Args:
        variances: of the means, float [G]; if all are 0, all effects count alike.
    """
    variances = variances if (variances > 0).all() else np.ones_like(variances)
    weights = 1 / variances
    fixed = float((weights * means).sum() / weights.sum())
    excess = float((weights * (means - fixed) ** 2).sum()) - (len(means) - 1)
    scale = float(weights.sum() - (weights**2).sum() / weights.sum())
    between = max(0.0, excess / scale) if scale > 0 else 0.0
    weights = 1 / (variances + between)
    overall = float((weights * means).sum() / weights.sum())
    return (between * means + variances * overall) / (between + variances), overall


def fold_of(users: np.ndarray) -> np.ndarray:
    """The fold of each user, int [V], by a hash of the index that is not the halves' own."""
    mixed = (users.astype(np.uint64) * np.uint64(0xC2B2AE35)) >> np.uint64(13)
    return (mixed % np.uint64(FOLDS)).astype(np.int64)


def shrink_students(
    models: Mapping[str, Recommender],
    starts: Mapping[str, str],
    material: Material,
    members: Mapping[str, np.ndarray],
) -> tuple[dict[str, Recommender], dict[str, Shrunk]]:
    """Shrink segments' students; those that start from the same one are decided together.

    Args:
        models: by name, the students and those they start from.
        starts: student to shrink → the student it starts from. Others of another architecture than
            their start are left as they are.
        members: the users of each student.

    Returns:
        The shrunk models, and the choice, by student.
    """
    fitting = {
        name: start
        for name, start in starts.items()
        if models[name].architecture == models[start].architecture
    }
    choices: dict[str, Shrunk] = {}
    for start in dict.fromkeys(fitting.values()):
        names = [name for name, first in fitting.items() if first == start]
        choices |= choose(
            {
                name: measure_grid(models[start], models[name], material, members[name])
                for name in names
            }
        )
    shrunk = {
        name: interpolate(models[fitting[name]], models[name], choice.weight)
        for name, choice in choices.items()
    }
    return shrunk, choices
