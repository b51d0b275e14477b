"""How fast training is, counted on a data set whose numbers are known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.throughput import step_profile
from benchmarks.throughput.compare import schedule
from benchmarks.throughput.step_profile import (
    PARTS,
    equal_steps,
    loss_of,
    new_state,
    peak,
    products_of,
    rate,
    shares,
)
from decant.features.sequences import VALIDATION, cases
from decant.params.load import Params
from decant.params.models import Teacher
from decant.training.batches import Windows
from decant.training.state import TrainState
from decant.training.step import prepare_batch, take_step
from decant.training.supervision import Material

SETTINGS = Teacher(
    dimension=8, heads=2, layers=2, batch_size=8, precision="float32", device="cpu", dropout=0.0
)


@pytest.fixture
def data(cycle: Any, tmp_path: Path) -> Material:
    return Material(cycle.encoder, cycle.sequences, {}, None, Params().split.cases_per_user)


def test_events_are_counted_after_the_warm_up(data: Material) -> None:
    result = rate(new_state(data, SETTINGS, 1, 5), 0.3)
    assert result["events"] > 0 and result["seconds"] > 0 and result["gflops"] > 0
    windows = 8 * result["steps"]  # of a batch
    assert windows <= result["events"] <= windows * data.encoder.max_length


def test_a_steps_products_are_counted_as_by_hand(data: Material) -> None:
    a = new_state(data, SETTINGS, 1, 5).model.architecture
    windows = Windows(np.zeros(2, int), np.array([0, 10]), np.array([5, 13]))  # 4 and 2 positions
    linear = 2 * (6 * 8) * (4 * 8 + 2 * 32) * 2  # two layers, two operations each
    attention = 2 * (2 * 2 * 8) * (4**2 + 2**2)
    assert products_of(a, windows, 5) == 3 * (linear + attention + 2 * 5 * 17 * 8)


def test_the_parts_of_a_step_make_the_whole(data: Material) -> None:
    result = shares(new_state(data, SETTINGS, 1, 5), 3)
    assert set(result) == set(PARTS)
    assert sum(result.values()) == pytest.approx(1)


def test_the_loss_that_is_timed_is_the_one_that_is_trained(data: Material) -> None:
    state = new_state(data, SETTINGS, 1, 5)
    windows = state.supervision.windows(np.random.default_rng(0)).take(np.arange(6))
    batch = prepare_batch(
        data.sequences, windows, state.supervision, state.model, torch.device("cpu"),
        settings=SETTINGS, rng=np.random.default_rng(0),
    )  # fmt: skip
    torch.testing.assert_close(loss_of(state, batch)[0], state.objective(batch))


def test_a_peak_is_a_speed() -> None:
    assert peak(torch.float32) > 0


def test_both_sides_steps_end_their_schedule_and_then_cases_are_ranked(
    data: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []

    def counted(state: TrainState, windows: Windows, seeds: tuple[int, int, int]) -> Any:
        rates.append(state.optimizer.param_groups[0]["lr"])
        return take_step(state, windows, seeds)

    monkeypatch.setattr(step_profile, "take_step", counted)
    result = equal_steps(data, SETTINGS, 1, 40)
    assert result["steps"] == len(rates) == 40
    assert rates == pytest.approx(SETTINGS.learning_rate * schedule(40))
    assert result["events"] > 40
    assert len(result["ranks"]) == len(cases(data.sequences, VALIDATION, 4))
    assert min(result["ranks"]) >= 1
    assert result["record"]["arithmetic"]["precision"] == "float32"
    assert result["record"]["seconds"] == round(result["trained"], 3)
