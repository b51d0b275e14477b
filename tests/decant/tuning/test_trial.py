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
from decant.training.loop import LossNotFinite
from decant.training.supervision import Knowledge, Material
from decant.tuning.cases import load_cases
from decant.tuning.folds import make_folds
from decant.tuning.trial import Course, run_trial, taught

torch.set_num_threads(1)
CUT = Split(method="leave-one-out")
SETTINGS = Training(
    dimension=8, heads=2, layers=1, dropout=0.0, epochs=2, batch_size=16, precision="float32",
    device="cpu", learning_rate=0.02,
)  # fmt: skip


@pytest.fixture(scope="module")
def course(cycle: Any) -> Course:
    """The circle in two folds."""
    material = Material(cycle.encoder, cycle.sequences, None, None, CUT.cases_per_user)
    return Course(material, make_folds(cycle.sequences, CUT, 2), seed=1)


def test_a_trial_is_the_mean_of_its_folds_and_keeps_every_case(
    course: Course, tmp_path: Path
) -> None:
    heard = []
    told = run_trial(course, SETTINGS, tmp_path / "0.npz", lambda *it: heard.append(it))
    assert [(fold, epoch) for fold, epoch, _ in heard] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    best = [max(value for fold, _, value in heard if fold == n) for n in (1, 2)]
    assert [fold["ndcg"] for fold in told["folds"]] == pytest.approx(best)
    assert told["value"] == pytest.approx(np.mean(best))
    assert told["parameters"] > 0
    users, quality = load_cases(tmp_path / "0.npz")
    expected = np.concatenate(
        [selection_cases(fold, CUT.cases_per_user).user for fold in course.folds]
    )
    assert np.array_equal(users, expected)
    assert quality[: len(users) // 2].mean() == pytest.approx(best[0])


def test_the_same_settings_give_the_same_result(course: Course, tmp_path: Path) -> None:
    one, two = (run_trial(course, SETTINGS, tmp_path / f"{n}.npz") for n in range(2))
    assert one == two


def test_what_listens_can_stop_it_after_an_epoch(course: Course, tmp_path: Path) -> None:
    def enough(fold: int, epoch: int, value: float) -> None:
        heard.append((fold, epoch))
        raise StopIteration

    heard: list[tuple[int, int]] = []
    with pytest.raises(StopIteration):
        run_trial(course, SETTINGS, tmp_path / "0.npz", enough)
    assert heard == [(1, 1)]
    assert not (tmp_path / "0.npz").exists()


def test_training_that_diverges_is_an_error_to_tell(
    course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverged = (torch.tensor(float("nan")), 5)
    monkeypatch.setattr("decant.training.loop.take_step", lambda *_: diverged)
    with pytest.raises(LossNotFinite, match=r"lower teacher\.learning_rate"):
        run_trial(course, SETTINGS, tmp_path / "0.npz")


def test_a_student_is_taught_with_the_teachers_knowledge(course: Course, tmp_path: Path) -> None:
    events = len(course.material.sequences.items)
    always = np.tile([3, 5], (events, 1)), np.tile(np.log([0.5, 0.49, 0.01]), (events, 1))
    settings = Distill(**{**SETTINGS.model_dump(), "soft_weight": 1.0})
    values = []
    for knowledge in (Knowledge(*always), None):
        one = Course(replace(course.material, knowledge=knowledge), course.folds[:1], 1)
        values.append(run_trial(one, settings, tmp_path / "0.npz")["value"])
    assert values[0] < values[1]  # such a teacher knows nothing


def test_a_trial_of_a_student_starts_where_its_settings_say(
    course: Course,
) -> None:
    shape = {"dimension": 16, "heads": 2, "layers": 1, "epochs": 1, "learning_rate": 1e-9}
    common = {**shape, "precision": "float32", "device": "cpu"}
    teacher, _ = taught(course.material, Training.model_validate(common), 9, lambda *_: None)
    with torch.no_grad():
        teacher.bias.copy_(torch.arange(len(teacher.bias)))
    for start in ({"start_items": True}, {"start_layers": [0]}):
        settings = Distill.model_validate({**common, **start})
        model, _ = taught(course.material, settings, 1, lambda *_: None, teacher)
        assert torch.allclose(model.bias, teacher.bias, atol=1e-3)
    scratch = Distill.model_validate(common)
    model, _ = taught(course.material, scratch, 1, lambda *_: None, teacher)
    assert not torch.allclose(model.bias, teacher.bias, atol=1e-3)
