"""What a step draws depends on its place in the training alone."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from decant.params.models import Training
from decant.training import step
from decant.training.batches import Windows
from decant.training.device import make_fabric
from decant.training.objective import Batch


def test_every_step_of_every_epoch_draws_anew_and_by_its_seeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = []

    def note(*_: Any, rng: np.random.Generator, **__: Any) -> Batch:
        drawn.append(float(rng.random()))
        nothing = torch.zeros(0, dtype=torch.int64)
        return Batch({}, nothing, nothing)

    monkeypatch.setattr(step, "prepare_batch", note)
    fabric = make_fabric(Training(device="cpu", precision="float32"))
    names = ("sequences", "supervision", "model", "settings", "likely")
    state: Any = SimpleNamespace(fabric=fabric, **dict.fromkeys(names))
    windows = Windows(*np.zeros((3, 4), dtype=np.int64))
    seeds = [(seed, epoch, place) for seed in (1, 2) for epoch in (0, 1) for place in (0, 1)]
    for each in [*seeds, seeds[0]]:
        assert step.take_step(state, windows, each)[1] == 0
    assert len({*drawn}) == len(seeds)
    assert drawn[-1] == drawn[0]
