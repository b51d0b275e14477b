"""`decant robustness` and its benchmark, without models; tests/tasks has them with some."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.experiments.robustness import bench
from benchmarks.harness.checkout import Ended
from benchmarks.harness.demo_workspace import ShopError
from benchmarks.system.demo import VERDICT
from decant import cli
from decant.commands.finished_run import sample
from decant.commands.robustness import positive
from decant.features.sequences import TEST, VALIDATION, Cases

FIGURES = {
    f"robustness.{model}.{level}": {"value": value, "low": value, "high": value, "n": 9}
    for model, value in (("teacher", 0.5), ("women", 0.25))
    for level in ("clean", "drop.10", "drop.50")
}


class Made:
    """A clone whose commands end with given statuses."""

    def __init__(self, root: Path, flow: int = 0, robustness: int = 0) -> None:
        self.root, self.ends, self.asked = root, {"flow": flow, "robustness": robustness}, []
        women = "  women: {init: general, where: \"gender == 'F'\"}\n"
        students = f"students:\n  general: {{init: teacher}}\n{women}"
        (root / "params.yaml").write_text(students)

    asked: list[str]
    options: tuple[str, ...] = ()

    def flow(self) -> Ended:
        if not self.ends["flow"]:
            (self.root / VERDICT).parent.mkdir(parents=True)
            (self.root / VERDICT).write_text("{}")
        return self._end("flow")

    def decant(self, name: str, *options: str) -> Ended:
        self.options = options
        return self._end(name)

    def _end(self, name: str) -> Ended:
        self.asked.append(name)
        return Ended(self.ends[name], "decant: error: no space", 2.0)

    def read(self, place: str) -> dict[str, Any]:
        assert place == "data/robustness/robustness.json"
        return {"protocol": {"data": "demo"}, "seeds": [7, 8], "figures": dict(FIGURES)}


def test_the_benchmark_runs_the_demo_and_tells_what_the_command_measured(tmp_path: Path) -> None:
    made, said = Made(tmp_path), list[str]()
    outcome = bench(made, said.append, window=VALIDATION)  # type: ignore[arg-type]
    assert made.asked == ["flow", "robustness"]
    assert made.options == ("--window", VALIDATION)
    assert outcome.protocol == {"data": "demo"}
    assert outcome.seeds == [7, 8]
    assert set(outcome.figures) - set(FIGURES) == {"run.seconds", "measured.seconds"}
    assert "women" in outcome.shown
    assert ">teacher<" in outcome.picture
    assert ">women<" not in outcome.picture  # on users of its own, so in no picture beside others


@pytest.mark.parametrize("broken", ["flow", "robustness"])
def test_a_command_that_fails_is_no_result(broken: str, tmp_path: Path) -> None:
    with pytest.raises(ShopError, match="failed: status 2, decant: error: no space"):
        made: Any = Made(tmp_path, **{broken: 2})
        bench(made, lambda line: None, window=TEST)


def test_a_project_that_has_not_run_gets_the_name_of_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "params.yaml").write_text("source: demo\n")
    assert cli.main(["robustness", "--root", str(tmp_path)]) == cli.MISTAKE
    said = capsys.readouterr().err
    assert "data/features/sequences is missing: `make run` makes" in said
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", ""])
def test_counts_are_whole_numbers_above_zero(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected a whole number above 0"):
        positive(text)


def test_a_sample_of_users_has_all_their_cases_in_order() -> None:
    chosen = Cases(np.repeat(np.arange(0, 40, 2), 2), np.arange(40))
    result = sample(chosen, 5, 1)
    assert len(np.unique(result.user)) == 5
    assert len(result) == 10
    assert (np.diff(result.position) > 0).all()
    assert (result.user == sample(chosen, 5, 1).user).all()
    assert len(sample(chosen, 500, 1)) == len(sample(chosen, None, 1)) == 40
