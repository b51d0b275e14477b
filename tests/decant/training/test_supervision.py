"""The weights of the losses are those of the settings."""

import pytest

from decant.params.models import Distill, Teacher, Training
from decant.training.supervision import LossWeights, loss_weights


def test_the_hard_labels_have_the_rest_of_the_loss() -> None:
    weights = loss_weights(
        Distill(soft_weight=0.3, rce_kd_weight=0.2, stratified_weight=0.1, states_weight=5.0)
    )
    assert weights == LossWeights(0.3, 0.2, 0.1, 5.0, 0.0)
    assert weights.hard == pytest.approx(0.4)


def test_a_teacher_has_soft_labels_alone_and_any_other_model_none() -> None:
    assert loss_weights(Teacher(soft_weight=0.5)) == LossWeights(soft=0.5)
    assert loss_weights(Training()) == LossWeights()
    assert LossWeights().hard == 1
