"""Figures of test cases with their intervals."""

from typing import Any

import numpy as np
import pytest

from decant.report.scores import FAMILY, mean, ratio, share, shipped


def test_a_mean_is_the_evaluations_own_figure_within_its_interval(run: Any) -> None:
    for group in ("all", "women", "general"):
        found = mean(run.scores(), "teacher", group)
        assert found is not None
        expected = run.metrics["models"]["teacher"]["test"][group]["ndcg"]
        assert found["value"] == pytest.approx(expected)
        assert found["low"] < found["value"] < found["high"]
        assert found["n"] == run.metrics["groups"][group]["users"]


def test_the_family_is_as_the_gate_saw_it(run: Any) -> None:
    assert shipped(run.verdict) == ["general", "women"]
    for group in ("all", "women", "men"):
        found = mean(run.scores(), FAMILY, group)
        assert found is not None
        assert found["value"] == pytest.approx(run.verdict["family"]["test"][group]["ndcg"])


def test_the_family_is_unknown_if_a_student_that_ships_was_not_measured(run: Any) -> None:
    cases = run.cases[run.cases["model"] != "women/int8"]
    scores = run.change(cases=cases).scores()
    assert scores.family() is None
    assert mean(scores, FAMILY) is None


def test_a_share_is_over_the_cases_that_both_know(run: Any) -> None:
    known = (run.cases["model"] != "oracle") | (run.cases["user"] < 10)
    scores = run.change(cases=run.cases[known]).scores()
    found = share(scores, "teacher", "oracle")
    assert found is not None and found["n"] == 10
    rows = scores.users < 10
    teacher, oracle = scores.models["teacher"][rows], scores.models["oracle"][rows]
    assert found["value"] == pytest.approx(teacher.sum() / oracle.sum())


def test_nothing_is_said_of_a_model_or_a_group_that_is_not_there(run: Any) -> None:
    scores = run.scores()
    assert mean(scores, "nobody") is None
    assert mean(scores, "teacher", "nobody") is None
    zero = np.zeros(len(scores.users))
    assert ratio(scores, zero, zero) is None
