"""The few numbers and rows of a run that DVC's commands read."""

from collections.abc import Callable
from typing import Any

import pytest

from decant.report.headline import group_rows, headline, learning_rows, model_rows


def numbers(content: Any) -> list[Any]:
    if isinstance(content, dict):
        return [number for part in content.values() for number in numbers(part)]
    return [content]


def test_the_headline_has_both_windows_ratios_and_the_verdict(run: Any) -> None:
    result = headline(run.evidence())
    assert list(result) == ["validation", "test", "ratio", "gate"]
    for window in ("validation", "test"):
        assert list(result[window]) == [
            "teacher", "best_traditional", "family", "general", "women", "men",
        ]  # fmt: skip
        assert all(list(values) == ["ndcg@10", "hr@10"] for values in result[window].values())
    family = run.verdict["family"]["test"]
    assert result["test"]["women"]["ndcg@10"] == family["women"]["ndcg"]
    assert result["test"]["family"]["hr@10"] == family["all"]["hr"]
    best = run.metrics["models"][run.verdict["best_baseline"]]
    assert result["validation"]["best_traditional"]["ndcg@10"] == best["validation"]["all"]["ndcg"]
    assert result["gate"] == {"passed": run.verdict["passed"]}
    assert set(result["ratio"]) == {"size", "family_size", "latency", "multiply_adds"}


def test_dvc_can_subtract_every_number_of_it(run: Any) -> None:
    assert all(isinstance(number, int | float) for number in numbers(headline(run.evidence())))


def test_what_was_not_measured_has_no_key(run: Any, without: Callable[[Any, str], Any]) -> None:
    metrics = without(run.metrics, "latency_us")
    metrics["models"] = without(metrics["models"], "hr")
    result = headline(run.change(metrics=metrics).evidence())
    assert "latency" not in result["ratio"]
    assert list(result["test"]["teacher"]) == ["ndcg@10"]
    assert "gate" in headline(run.change(verdict={**run.verdict, "family": {}}).evidence())


def test_a_failed_gate_is_0(run: Any) -> None:
    evidence = run.change(verdict={**run.verdict, "passed": False}).evidence()
    assert headline(evidence)["gate"]["passed"] == 0


def test_models_are_rows_on_all_users_the_family_last(run: Any) -> None:
    rows = model_rows(run.evidence())
    assert [row["model"] for row in rows][-3:] == ["teacher", "general", "family"]
    assert rows[-4]["ndcg"] >= rows[0]["ndcg"]  # the best traditional model comes last
    assert rows[-1]["ndcg"] == run.verdict["family"]["test"]["all"]["ndcg"]


def test_each_group_is_a_row_for_teacher_general_and_family(run: Any) -> None:
    rows = {row["group"]: row for row in group_rows(run.evidence())}
    assert [name for name in rows if name.startswith("women")] == [
        "women: teacher", "women: general", "women: family",
    ]  # fmt: skip
    assert rows["women: family"]["ndcg"] > rows["women: general"]["ndcg"]
    assert rows["men: family"]["ndcg"] == rows["men: general"]["ndcg"]  # general serves them


def test_a_learning_curve_has_a_row_for_each_epoch() -> None:
    assert learning_rows([3.0, 2.5], [0.1, 0.2]) == [
        {"epoch": 1, "loss": 3.0, "ndcg": 0.1},
        {"epoch": 2, "loss": 2.5, "ndcg": 0.2},
    ]
    with pytest.raises(ValueError):
        learning_rows([3.0], [])
