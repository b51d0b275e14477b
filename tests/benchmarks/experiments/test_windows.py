"""Benchmarks that measure in a process of their own tell it which window to rank."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.experiments import incremental, modalities
from benchmarks.harness.checkout import Clone, Ended
from decant.features.sequences import TEST, VALIDATION

FIGURE = {"value": 0.1, "low": 0.05, "high": 0.2, "n": 5}
ANSWER = {
    "figures": {"text.gain.cold": FIGURE, "both.gain.cold": FIGURE},
    "trained": {"item": {"seconds": 1.5, "trainings": 3}},
}


@pytest.mark.parametrize("window", [VALIDATION, TEST])
@pytest.mark.parametrize("bench", [incremental.bench, modalities.bench])
def test_the_window_reaches_the_program_and_its_trainings_come_back(
    bench: Callable[..., Any], window: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").write_text("raw: {users: 10}\n")
    asked: list[tuple[str, ...]] = []

    def run(self: Clone, *arguments: str) -> Ended:
        asked.append(arguments)
        return Ended(0, f"day 1: anew\n{json.dumps(ANSWER)}\n", 1.0)

    monkeypatch.setattr(Clone, "run", run)
    outcome = bench(Clone(tmp_path), lambda line: None, window=window)
    assert asked[-1][2:] == (str(tmp_path / "data"), window)
    assert outcome.protocol["window"].startswith(window)
    assert outcome.figures == ANSWER["figures"] or outcome.figures.keys() > ANSWER["figures"].keys()
    assert outcome.trained == ANSWER["trained"]
