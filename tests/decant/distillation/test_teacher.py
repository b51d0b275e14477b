"""A teacher that an ensemble teaches, on data of which the right answer is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from decant.distillation.student import Material
from decant.distillation.teacher import TrainedTeacher, learn_from, train_teacher
from decant.models.build import architecture
from decant.models.recommender import Recommender
from decant.params.models import Teacher
from decant.training import checkpoint as saving
from decant.training.checkpoint import Checkpoints, TimeUpError
from decant.training.loop import seeded

torch.set_num_threads(1)


def settings_with(**changes: Any) -> Teacher:
    given = {
        "dimension": 8, "heads": 2, "layers": 1, "dropout": 0.1, "batch_size": 8, "epochs": 2,
        "patience": 20, "precision": "float32", "device": "cpu", "learning_rate": 0.02,
    }  # fmt: skip
    return Teacher.model_validate({**given, **changes})


def taught(
    cycle: Any, folder: Path, *, minutes: float | None = None, **changes: Any
) -> TrainedTeacher:
    """A teacher of seed 3 on the circle."""
    settings = settings_with(**changes)

    def new_model(seed: int) -> Recommender:
        return seeded(architecture(settings, cycle.encoder, None), None, seed)

    material = Material(cycle.encoder, cycle.sequences, {}, None, 4)
    return train_teacher(material, settings, 3, new_model, Checkpoints(folder, "code", minutes))


def same(one: Recommender, other: Recommender) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_without_an_ensemble_a_teacher_learns_from_what_was_taken(
    cycle: Any, tmp_path: Path
) -> None:
    alone = taught(cycle, tmp_path / "a")
    assert alone.ensemble == []
    assert same(alone.model, taught(cycle, tmp_path / "b", soft_weight=0.1).model)


def test_an_ensemble_is_of_other_seeds_and_its_word_counts(cycle: Any, tmp_path: Path) -> None:
    alone = taught(cycle, tmp_path / "alone")
    both = taught(cycle, tmp_path / "both", ensemble=2)
    assert len(both.ensemble) == 2
    assert both.ensemble[0].losses != both.ensemble[1].losses
    assert not same(alone.model, both.model)
    deaf = taught(cycle, tmp_path / "deaf", ensemble=2, soft_weight=0.0)
    assert same(alone.model, deaf.model)


def test_a_teacher_learns_the_circle_from_soft_labels_alone(cycle: Any, tmp_path: Path) -> None:
    result = taught(cycle, tmp_path, ensemble=1, soft_weight=1.0, epochs=16, dropout=0.0)
    assert result.report.best > 0.9


def test_one_that_is_stopped_while_its_ensemble_learns_goes_on(
    cycle: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = taught(cycle, tmp_path / "whole", ensemble=2)
    monkeypatch.setattr(saving, "SAVE_EVERY", 0.0)
    stops = 0
    while True:
        try:
            result = taught(cycle, tmp_path / "parts", ensemble=2, minutes=1e-4)
            break
        except TimeUpError:
            stops += 1
    assert stops > 3
    assert same(undisturbed.model, result.model)
    assert result.ensemble == undisturbed.ensemble


def test_the_mean_of_two_is_what_is_taught(cycle: Any, tmp_path: Path) -> None:
    settings = settings_with()
    shape = architecture(settings, cycle.encoder, None)
    models = [seeded(shape, None, seed).eval() for seed in (1, 2)]
    material = Material(cycle.encoder, cycle.sequences, {}, None, 4)
    owner = {
        name: learn_from(members, material, tmp_path / name).knowledge
        for name, members in {"one": models[:1], "other": models[1:], "both": models}.items()
    }
    assert all(soft is not None for soft in owner.values())
    row = int(np.flatnonzero(owner["both"].ids.files[0].any(axis=1))[0])
    probability = {
        name: dict(
            zip(
                soft.ids.files[0][row].tolist(),
                np.exp(soft.log_probabilities.files[0][row, :-1].astype(float)),
                strict=True,
            )
        )
        for name, soft in owner.items()
    }
    for item, result in probability["both"].items():
        if item in probability["one"] and item in probability["other"]:
            mean = (probability["one"][item] + probability["other"][item]) / 2
            assert result == pytest.approx(mean, rel=5e-3)
