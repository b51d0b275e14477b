"""Figures of test cases with their intervals."""

from typing import Any

import numpy as np
import pytest

from decant.report.scores import FAMILY, mean, ratio, released_students, share


def test_a_mean_is_the_evaluations_own_figure_within_its_interval(run: Any) -> None:
    for group in ("all", "women", "general"):
        result = mean(run.scores(), "teacher", group)
        assert result is not None
        expected = run.metrics["models"]["teacher"]["test"][group]["ndcg"]
        assert result["value"] == pytest.approx(expected)
        assert result["low"] < result["value"] < result["high"]
        assert result["n"] == run.metrics["groups"][group]["users"]


def test_the_family_is_as_the_gate_saw_it(run: Any) -> None:
    assert released_students(run.verdict) == ["general", "women"]
    for group in ("all", "women", "men"):
        result = mean(run.scores(), FAMILY, group)
        assert result is not None
        assert result["value"] == pytest.approx(run.verdict["family"]["test"][group]["ndcg"])


def test_the_family_is_unknown_if_a_student_that_ships_was_not_measured(run: Any) -> None:
    cases = run.cases[run.cases["model"] != "women/int8"]
    scores = run.change(cases=cases).scores()
    assert scores.family() is None
    assert mean(scores, FAMILY) is None


def test_a_share_is_over_the_cases_that_both_know(run: Any) -> None:
    known = (run.cases["model"] != "oracle") | (run.cases["user"] < 10)
    scores = run.change(cases=run.cases[known]).scores()
    result = share(scores, "teacher", "oracle")
    assert result is not None and result["n"] == 10
    rows = scores.users < 10
    teacher, oracle = scores.models["teacher"][rows], scores.models["oracle"][rows]
    assert result["value"] == pytest.approx(teacher.sum() / oracle.sum())


def test_nothing_is_said_of_a_model_or_a_group_that_is_not_there(run: Any) -> None:
    scores = run.scores()
    assert mean(scores, "nobody") is None
    assert mean(scores, "teacher", "nobody") is None
    zero = np.zeros(len(scores.users))
    assert ratio(scores, zero, zero) is None
