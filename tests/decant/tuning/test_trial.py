"""A trial trains on every fold what the stage would train, and can be stopped after any epoch."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from decant.features.holdout import selection_cases
from decant.params.data import Split
from decant.params.models import Distill, Training
from decant.training.loop import LossNotFiniteError
from decant.training.supervision import Knowledge, Material
from decant.tuning.folds import make_folds
from decant.tuning.study import load_cases
from decant.tuning.trial import TrialData, run_trial, train_fold

torch.set_num_threads(1)
CUT = Split(method="leave-one-out")
SETTINGS = Training(
    dimension=8, heads=2, layers=1, dropout=0.0, epochs=2, batch_size=16, precision="float32",
    device="cpu", learning_rate=0.02,
)  # fmt: skip


@pytest.fixture(scope="module")
def data(cycle: Any) -> TrialData:
    """The circle in two folds."""
    material = Material(cycle.encoder, cycle.sequences, {}, None, CUT.cases_per_user)
    return TrialData(material, make_folds(cycle.sequences, CUT, 2), seed=1)


def test_a_trial_is_the_mean_of_its_folds_and_keeps_every_case(
    data: TrialData, tmp_path: Path
) -> None:
    heard = []
    result = run_trial(data, SETTINGS, tmp_path / "0.npz", lambda *it: heard.append(it))
    assert [(fold, epoch) for fold, epoch, _ in heard] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    best = [max(value for fold, _, value in heard if fold == n) for n in (1, 2)]
    assert [fold["ndcg"] for fold in result["folds"]] == pytest.approx(best)
    assert result["value"] == pytest.approx(np.mean(best))
    assert result["parameters"] > 0
    users, quality = load_cases(tmp_path / "0.npz")
    expected = np.concatenate(
        [selection_cases(fold, CUT.cases_per_user).user for fold in data.folds]
    )
    assert np.array_equal(users, expected)
    assert quality[: len(users) // 2].mean() == pytest.approx(best[0])


def test_the_same_settings_give_the_same_result(data: TrialData, tmp_path: Path) -> None:
    one, two = (run_trial(data, SETTINGS, tmp_path / f"{n}.npz") for n in range(2))
    assert one == two


def test_what_listens_can_stop_it_after_an_epoch(data: TrialData, tmp_path: Path) -> None:
    def enough(fold: int, epoch: int, value: float) -> None:
        heard.append((fold, epoch))
        raise StopIteration

    heard: list[tuple[int, int]] = []
    with pytest.raises(StopIteration):
        run_trial(data, SETTINGS, tmp_path / "0.npz", enough)
    assert heard == [(1, 1)]
    assert not (tmp_path / "0.npz").exists()


def test_training_that_diverges_is_an_error(
    data: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverged = (torch.tensor(float("nan")), 5)
    monkeypatch.setattr("decant.training.loop.take_step", lambda *_: diverged)
    with pytest.raises(LossNotFiniteError, match=r"lower teacher\.learning_rate"):
        run_trial(data, SETTINGS, tmp_path / "0.npz")


def test_a_student_learns_from_the_teachers_knowledge(data: TrialData, tmp_path: Path) -> None:
    events = len(data.material.sequences.items)
    always = np.tile([3, 5], (events, 1)), np.tile(np.log([0.5, 0.49, 0.01]), (events, 1))
    settings = Distill(**{**SETTINGS.model_dump(), "soft_weight": 1.0})
    values = []
    for knowledge in (Knowledge(*always), None):
        one = TrialData(replace(data.material, knowledge=knowledge), data.folds[:1], 1)
        values.append(run_trial(one, settings, tmp_path / "0.npz")["value"])
    assert values[0] < values[1]  # such a teacher knows nothing


def test_a_trial_of_a_student_starts_where_its_settings_say(data: TrialData) -> None:
    shape = {"dimension": 16, "heads": 2, "layers": 1, "epochs": 1, "learning_rate": 1e-9}
    common = {**shape, "precision": "float32", "device": "cpu"}
    teacher, _ = train_fold(data.material, Training.model_validate(common), 9, lambda *_: None)
    with torch.no_grad():
        teacher.bias.copy_(torch.arange(len(teacher.bias)))
    for start in ({"init_item_embeddings": True}, {"init_layers": [0]}):
        settings = Distill.model_validate({**common, **start})
        model, _ = train_fold(data.material, settings, 1, lambda *_: None, teacher)
        assert torch.allclose(model.bias, teacher.bias, atol=1e-3)
    scratch = Distill.model_validate(common)
    model, _ = train_fold(data.material, scratch, 1, lambda *_: None, teacher)
    assert not torch.allclose(model.bias, teacher.bias, atol=1e-3)
