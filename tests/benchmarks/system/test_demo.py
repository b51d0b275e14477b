"""The demo's figures: what the page tells, under names that other places use."""

from typing import Any

import pytest

from benchmarks.system.demo import HEAD, cost_ratio, ending, figures, short
from decant.report.console import table

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
    assert result["size.ratio.general"]["value"] == 10
    assert result["latency.ratio.general"]["value"] == 5


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
