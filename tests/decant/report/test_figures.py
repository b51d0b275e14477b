"""The flat figures of a run."""

import json
from typing import Any

import pytest

from decant.release.ranked import read_ranked
from decant.report.figures import (
    cost_ratio,
    family_bytes,
    family_coverage,
    figures,
    segment_decisions,
)


def test_every_figure_of_a_complete_run_is_there(run: Any) -> None:
    result = figures(run.metrics, run.verdict, run.scores())
    assert set(result) == {
        "baseline.best.ndcg@10",
        "teacher.ndcg@10",
        "student.general.ndcg@10",
        "family.ndcg@10",
        "segments.mean_gain",
        "segments.worst_gain",
        "int8.ndcg_loss",
        "latency.ratio",
        "multiply_adds.ratio",
        "size.ratio",
        "family.size.ratio",
        "oracle.share",
    }
    for name, value in result.items():
        assert set(value) == {"value", "low", "high", "n"}
        if value["low"] is not None:
            assert value["low"] <= value["value"] <= value["high"], name
    json.dumps(result, allow_nan=False)


def test_equal_inputs_give_equal_figures(run: Any) -> None:
    one, other = (figures(run.metrics, run.verdict, run.scores()) for _ in range(2))
    assert one == other


@pytest.mark.parametrize(
    ("model", "figure"),
    [
        ("teacher", "teacher.ndcg@10"),
        ("oracle", "oracle.share"),
        ("markov", "baseline.best.ndcg@10"),
        ("general/distilled", "student.general.ndcg@10"),
        ("women/int8", "family.ndcg@10"),
        ("women/pruned", "int8.ndcg_loss"),
        ("general/int8", "segments.mean_gain"),
    ],
)
def test_what_was_not_measured_is_left_out(run: Any, model: str, figure: str) -> None:
    cases = run.cases[run.cases["model"] != model]
    result = figures(run.metrics, run.verdict, run.change(cases=cases).scores())
    assert figure not in result


def test_ratios_are_of_the_most_expensive_student_that_is_released(run: Any) -> None:
    run.metrics["models"]["men/int8"]["bytes"] = 900_000  # does not ship
    assert cost_ratio(run.metrics, run.verdict, "bytes") == pytest.approx(1_000_000 / 60_000)
    assert family_bytes(run.metrics, run.verdict) == 50_000 + 60_000
    result = figures(run.metrics, run.verdict, run.scores())
    assert result["family.size.ratio"]["value"] == pytest.approx(1_000_000 / 110_000)
    assert result["multiply_adds.ratio"]["value"] == 20
    del run.metrics["models"]["general/int8"]["bytes"]
    assert cost_ratio(run.metrics, run.verdict, "bytes") is None
    assert family_bytes(run.metrics, run.verdict) is None


def test_a_segment_that_general_serves_gains_nothing(run: Any) -> None:
    result = figures(run.metrics, run.verdict, run.scores())
    women = run.metrics["models"]["women/int8"]["test"]["women"]["ndcg"]
    general = run.metrics["models"]["general/int8"]["test"]["women"]["ndcg"]
    assert result["segments.mean_gain"]["value"] == pytest.approx((women / general - 1) / 2)
    worst = result["segments.worst_gain"]
    assert (worst["value"], worst["low"], worst["high"], worst["n"]) == (0, 0, 0, 30)


def test_a_loss_by_quantisation_is_positive(run: Any) -> None:
    after = run.cases["model"].str.endswith("/int8")
    cases = run.cases.assign(rank=run.cases["rank"] + after)
    result = figures(run.metrics, run.verdict, run.change(cases=cases).scores())
    loss = result["int8.ndcg_loss"]
    assert 0 < loss["low"] <= loss["value"] <= loss["high"] < 1


def test_decisions_are_the_gates_own_and_have_two_sides(run: Any) -> None:
    members = run.scores().members
    ranked = read_ranked(run.cases, run.evaluation.k, partial=["oracle"])
    result = segment_decisions(ranked, members, ["women", "men", "none"], 300, 3)
    for name in ("women", "men"):
        gain = result[name]["validation"]
        assert gain["value"] == pytest.approx(run.verdict["segments"][name]["gain"])
        assert gain["low"] <= gain["value"] <= gain["high"]
        assert run.verdict["segments"][name]["lower_bound"] < gain["value"]
        assert gain["n"] < result[name]["test"]["n"]
    assert result["none"] == {}


def test_the_familys_coverage_counts_what_each_user_is_served(run: Any) -> None:
    assert family_coverage(run.top, run.cases, run.scores(), 20) == 1.0
    del run.top["women/int8"]
    assert family_coverage(run.top, run.cases, run.scores(), 20) is None
