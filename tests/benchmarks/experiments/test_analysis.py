"""How rivals compare, user by user."""

from typing import Any

import pytest

from benchmarks.experiments.analysis import by_user, differences, relative_gain


def test_groups_differ_by_what_they_take(contradiction: Any) -> None:
    found = differences(contradiction.sequences, contradiction.members)
    assert found["a"] == pytest.approx(found["b"])
    # two thirds of the sequences train question and answer, the rest the question alone: of ten
    # events four are answers, which the groups do not share
    assert found["a"] == pytest.approx(0.4)


def test_a_gain_is_relative_and_paired_by_user() -> None:
    theirs = dict.fromkeys(range(20), (0.5, 1.0))
    ours = dict.fromkeys(range(20), (0.55, 1.0))
    figure = relative_gain(ours, theirs, set(range(10)))
    assert figure["n"] == 10
    assert (figure["low"], figure["value"], figure["high"]) == pytest.approx((0.1, 0.1, 0.1))


def test_users_count_alike_however_many_cases_they_have() -> None:
    window = {"users": [1, 1, 2], "ranks": [1, 99, 1]}
    assert by_user(window, 10) == {1: (0.5, 0.5), 2: (1.0, 1.0)}
