"""The next-basket table: who is the bar, and who serves whom."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from decant.report.baskets import basket_table
from decant.report.page import page

MEMBERS = {"women": np.arange(10), "general": np.arange(10, 20)}
METRICS = {"left_out": {}, "models": {}}
VERDICT = {"segments": {"women": {"ships": True}}}
QUALITY = {  # of each model: on validation, on test
    "markov": (0.3, 0.1),
    "tifu_knn": (0.2, 0.4),
    "teacher": (0.5, 0.5),
    "general/int8": (0.4, 0.4),
    "women/int8": (0.8, 0.8),
}


@pytest.fixture
def baskets() -> pd.DataFrame:
    """Two baskets of each user; all users of a model have the same quality."""
    parts = [
        pd.DataFrame(
            {
                "model": model,
                "window": window,
                "user": np.repeat(np.arange(20), 2),
                "position": np.arange(40),
                "basket_ndcg": value,
                "basket_recall": value / 2,
            }
        )
        for model, both in QUALITY.items()
        for window, value in zip(("validation", "test"), both, strict=True)
    ]
    return pd.concat(parts)


def test_the_bar_is_chosen_on_validation_and_the_family_is_who_serves(
    baskets: pd.DataFrame,
) -> None:
    rows = basket_table(baskets, METRICS, VERDICT, MEMBERS, 100, 1)
    shown = {row.label: (row.ndcg["value"], row.recall["value"]) for row in rows}
    assert shown == {
        "markov, the best traditional model here": pytest.approx((0.1, 0.05)),
        "teacher": pytest.approx((0.5, 0.25)),
        "family, as released": pytest.approx((0.6, 0.3)),  # women have their own student
    }
    assert rows[2].ndcg["n"] == 20
    assert rows[2].ndcg["low"] < 0.6 < rows[2].ndcg["high"]


def test_without_baskets_there_is_no_table() -> None:
    assert basket_table(None, METRICS, VERDICT, MEMBERS, 100, 1) == []


def test_the_page_shows_it_only_where_there_are_baskets(run: Any, baskets: pd.DataFrame) -> None:
    evidence = run.evidence()
    assert "Next basket" not in page(evidence)
    rows = basket_table(baskets, METRICS, VERDICT, MEMBERS, 100, 1)
    shown = page(replace(evidence, baskets=rows))
    assert "Next basket, all users" in shown and "the best traditional model here" in shown
