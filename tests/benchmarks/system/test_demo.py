"""The demo's figures: what the page tells, under names that other places use."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness.checkout import Ended
from benchmarks.harness.demo_workspace import ShopError
from benchmarks.system.demo import HEAD, VERDICT, bench, cost_ratio, ending, figures, short
from decant.features.sequences import VALIDATION
from decant.report.console import table
from decant.report.results import Outcome

KNOWN = {"value": 0.9, "low": 0.8, "high": 1.0, "n": 10}


@pytest.fixture
def evidence() -> dict[str, Any]:
    def cost(size: int, p50: float) -> dict[str, Any]:
        return {"bytes": size, "latency_us": {"p50": p50}}

    return {
        "figures": {"teacher.ndcg@10": KNOWN},
        "retention": {"general": KNOWN, "women": None},
        "lift": KNOWN,
        "decisions": {"women": {"validation": KNOWN, "test": KNOWN}},
        "oracle": [
            ["markov", "all", KNOWN],
            ["popularity", "all", KNOWN],
            ["teacher", "all", None],
            ["women/int8", "women", KNOWN],
        ],
        "verdict": {"best_baseline": "markov"},
        "metrics": {"models": {"teacher": cost(1000, 500.0), "general/int8": cost(100, 100.0)}},
    }


def test_every_known_figure_has_a_name_and_what_is_not_known_is_left_out(
    evidence: dict[str, Any],
) -> None:
    result = figures(evidence)
    assert set(result) == {
        "teacher.ndcg@10", "family.lift", "retention.general",
        "oracle.share.baseline.best", "oracle.share.baseline.popularity", "oracle.share.women",
        "segment.women.gain.validation", "segment.women.gain.test",
        "size.ratio.general", "latency.ratio.general",
    }  # fmt: skip
    assert result["family.lift"] == pytest.approx({"value": -0.1, "low": -0.2, "high": 0, "n": 10})
    assert result["size.ratio.general"]["value"] == 10
    assert result["latency.ratio.general"]["value"] == 5


def test_the_teacher_is_compared_with_the_best_traditional_model(evidence: dict[str, Any]) -> None:
    for model, ndcg in (("markov", 0.2), ("teacher", 0.3)):
        known = evidence["metrics"]["models"].setdefault(model, {})
        known["test"] = {"all": {"ndcg": ndcg}}
    result = figures(evidence)
    assert result["baseline.best.ndcg@10"]["value"] == 0.2
    assert result["teacher.lift"]["value"] == pytest.approx(0.5)


class Run:
    """A clone whose only run of the flow is at its end."""

    def __init__(self, root: Path, output: str) -> None:
        self.root, self.ended = root, Ended(1, output, 2.0)

    def flow(self) -> Ended:
        return self.ended

    def read(self, place: str) -> Any:
        assert place == "params.yaml"
        return {"seed": 7}


def test_on_validation_a_run_before_the_gate_is_an_error(tmp_path: Path) -> None:
    failed: Any = Run(tmp_path, "decant: error: teacher: killed by SIGKILL\n")
    with pytest.raises(ShopError, match="the demo failed: status 1, decant: error: teacher"):
        bench(failed, lambda line: None, window=VALIDATION)


def test_on_validation_nothing_that_the_run_says_of_test_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: Any = Run(tmp_path, f"{HEAD}  NDCG@10\ndecant: error: candidate 1 is not released: .47\n")
    (tmp_path / VERDICT).parent.mkdir(parents=True)
    (tmp_path / VERDICT).write_text("{}")
    windows: list[str] = []

    def ranked(runs: Any, params: Any, source: str, profile: str, window: str) -> Outcome:
        windows.append(window)
        return Outcome({}, list(runs), shown=f"{window} window")

    monkeypatch.setattr("benchmarks.system.demo.read_run", lambda root: None)
    monkeypatch.setattr("benchmarks.system.demo.outcome_of", ranked)
    outcome = bench(done, lambda line: None, window=VALIDATION)
    assert (windows, outcome.shown) == ([VALIDATION], "validation window")
    assert outcome.failures == []


def test_the_table_is_what_the_run_ends_with() -> None:
    said = "12:00 | up to date\nmodel, test window   NDCG@10\n---\nteacher  0.5 \nreport   data"
    assert ending(said) == "model, test window   NDCG@10\n---\nteacher  0.5\nreport   data"
    assert ending("it failed") == ""


def test_the_table_of_a_run_begins_as_it_is_looked_for() -> None:
    assert table({"k": 10, "models": {}}).startswith(HEAD)


def test_a_cost_that_is_not_known_gives_no_ratio(evidence: dict[str, Any]) -> None:
    assert cost_ratio(evidence["metrics"], "women", "bytes") is None
    assert cost_ratio(evidence["metrics"], "general", "joules") is None


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("teacher", "teacher"), ("family", "family"), ("general/int8", "general"),
        ("markov", "baseline.best"), ("item_knn", "baseline.item_knn"),
    ],
)  # fmt: skip
def test_models_have_short_names(model: str, name: str) -> None:
    assert short(model, "markov") == name
