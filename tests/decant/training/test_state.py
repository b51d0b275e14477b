"""What a training draws and keeps."""

import numpy as np
import pytest

from decant.params.models import Training
from decant.training.state import RARE, likely_negatives


def test_negatives_are_drawn_by_a_power_of_their_training_events() -> None:
    counts = np.array([0.0, 16.0, 1.0, 0.0, 81.0])
    likely = likely_negatives(counts, Training(full_softmax_max_items=3))
    assert likely is not None
    assert likely.tolist() == pytest.approx([0, 8, 1, 0, 27])
    assert RARE == 0.75


def test_a_catalogue_that_is_small_enough_needs_no_sample() -> None:
    assert likely_negatives(np.ones(5), Training(full_softmax_max_items=4)) is None
