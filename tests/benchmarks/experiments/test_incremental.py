from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.experiments import incremental
from benchmarks.experiments.incremental import SECONDS, figures, last_day, until
from decant.features.sequences import TEST, VALIDATION, Sequences, cases


def test_what_is_known_ends_at_now_and_the_next_day_is_judged(
    make_sequences: Callable[..., Sequences],
) -> None:
    sequences = make_sequences([[1, 2, 3, 4], [5, 6]])
    times = SECONDS * np.array([0.1, 0.9, 1.5, 2.5, 1.0, 1.9])
    known = until(replace(sequences, times=times), 1.0 * SECONDS)
    assert known.split.tolist() == [[2, 3], [0, 2]]
    judged = cases(known, VALIDATION, 4)
    assert known.items[judged.position].tolist() == [3, 6]  # 5 has nothing before it


def test_on_validation_the_last_day_ends_before_the_test_window(
    make_sequences: Callable[..., Sequences],
) -> None:
    sequences = make_sequences([[1, 2, 3, 4], [5, 6]])
    times = SECONDS * np.array([0.1, 0.9, 4.5, 7.5, 1.0, 5.9])
    split = np.array([[1, 2], [1, 1]])  # test: 4.5, 7.5, and 5.9
    timed = replace(sequences, times=times, split=split)
    assert last_day(timed, TEST) == 7 * SECONDS
    assert last_day(timed, VALIDATION) == 1 * SECONDS


def test_gain_and_cost_are_over_training_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incremental, "RESAMPLES", 100)
    nobody = np.nan
    quality = {
        "anew": [np.array([0.2, nobody, nobody]), np.array([0.4, 0.6, nobody])],
        "warm": [np.array([0.3, nobody, nobody]), np.array([0.5, 0.7, nobody])],
    }
    spent = {"anew": [(100, 10.0), (100, 30.0)], "warm": [(20, 2.0), (20, 6.0)]}
    result = figures(quality, spent)
    assert result["warm.gain"]["value"] == pytest.approx(0.1)
    assert result["warm.gain"]["n"] == 2
    assert result["anew.ndcg@10"]["value"] == pytest.approx((0.3 + 0.6) / 2)
    assert result["warm.day2.ndcg@10"]["value"] == pytest.approx(0.6)
    assert result["warm.cost.predictions"]["value"] == pytest.approx(0.2)
    assert result["warm.cost.seconds"]["value"] == pytest.approx(0.2)
