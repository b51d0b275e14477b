"""What the page says of the traditional models."""

from typing import Any

from decant.report.comparisons import about_baselines, baselines_section
from decant.report.trade_off import DRAWN, trade_off_section


def test_what_was_left_out_is_said_with_the_reason(run: Any) -> None:
    del run.metrics["models"]["ease"]
    run.metrics["left_out"] = {"ease": "99,000 items"}
    page = str(baselines_section(run.evidence()))
    assert "ease: left out, 99,000 items." in page


def test_the_hybrid_is_explained(run: Any) -> None:
    run.metrics["hybrid"] = {"first": "markov", "second": "recency_ease", "weight": 0.7}
    (line,) = about_baselines(run.metrics)
    assert line.startswith("hybrid: 70% of the scores of markov, the rest of recency_ease's")


def test_without_a_hybrid_nothing_is_explained(run: Any) -> None:
    run.metrics["hybrid"] = None
    assert about_baselines(run.metrics) == []


def test_the_picture_has_the_best_traditional_models_alone(run: Any) -> None:
    drawn, _, _ = str(trade_off_section(run.evidence())).partition("<figcaption")
    names = ["markov", "windowed_markov", "item_knn", "ease", "ials", "bpr", "popularity"]
    assert ">markov<" in drawn and ">popularity<" not in drawn
    assert sum(f">{name}<" in drawn for name in names) <= DRAWN
