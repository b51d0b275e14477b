import doctest
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decant.data import split as module
from decant.data.split import SplitError, split
from decant.params.data import Split

LEAVE_ONE_OUT = Split(method="leave-one-out")
few_times = st.lists(st.integers(0, 50), min_size=0, max_size=12).map(sorted)
logs = st.lists(few_times, min_size=1, max_size=8).filter(any)
shares = st.floats(0.01, 0.49)


def flat(users: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.r_[0, np.cumsum([len(times) for times in users])].astype(np.int64)
    return offsets, np.array([t for times in users for t in times], dtype=np.float64)


def windows(users: list[list[int]], cut: np.ndarray) -> list[list[list[int]]]:
    """Each user's training, validation and test times."""
    return [
        [times[:a], times[a:b], times[b:]]
        for times, (a, b) in zip(users, cut.tolist(), strict=True)
    ]


def test_the_examples_in_its_documentation_are_true() -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@settings(max_examples=200, deadline=None)
@given(users=logs, validation=shares, test=shares)
def test_all_users_are_cut_at_the_same_two_moments(
    users: list[list[int]], validation: float, test: float
) -> None:
    offsets, times = flat(users)
    try:
        cut = split(offsets, times, Split(method="time", validation=validation, test=test))
    except SplitError:
        return
    parts = windows(users, cut)
    merged = [[t for user in parts for t in user[window]] for window in range(3)]
    assert sum(len(window) for window in merged) == len(times)
    for earlier, later in pairwise(merged):
        assert max(earlier) < min(later)


@settings(max_examples=200, deadline=None)
@given(users=logs, validation=shares, test=shares)
def test_by_user_each_window_is_a_share_of_the_users_last_events_or_one(
    users: list[list[int]], validation: float, test: float
) -> None:
    offsets, times = flat(users)
    cut = split(offsets, times, Split(method="by-user", validation=validation, test=test))
    for user, (a, b) in zip(users, cut.tolist(), strict=True):
        assert 0 <= a <= b <= len(user)
        if len(user) >= 4:
            assert len(user) - b == max(1, round(test * len(user)))
            assert b - a == min(b, max(1, round(validation * len(user))))


def test_by_user_no_times_are_needed() -> None:
    offsets = np.array([0, 10, 13])
    cut = split(offsets, np.full(13, np.nan), Split(method="by-user", validation=0.2, test=0.3))
    assert cut.tolist() == [[5, 7], [1, 2]]


@settings(max_examples=200, deadline=None)
@given(users=logs)
def test_leave_one_out_holds_back_the_last_two_of_each_user(users: list[list[int]]) -> None:
    offsets, times = flat(users)
    for user, (a, b) in zip(users, split(offsets, times, LEAVE_ONE_OUT).tolist(), strict=True):
        assert len(user) - b == min(1, len(user))
        assert b - a == min(1, max(0, len(user) - 1))


def test_the_windows_hold_about_the_share_that_was_asked_for() -> None:
    offsets = np.array([0, 400, 1000])
    times = np.r_[np.arange(400.0), np.arange(600.0)]
    cut = split(offsets, times, Split(method="time", validation=0.1, test=0.2))
    training, before_test = cut.sum(axis=0)
    assert training == pytest.approx(700, abs=2)
    assert before_test == pytest.approx(800, abs=2)


def test_leave_one_out_needs_no_clock() -> None:
    cut = split(np.array([0, 3]), np.full(3, np.nan), LEAVE_ONE_OUT)
    assert cut.tolist() == [[1, 2]]


def test_a_time_split_of_data_without_a_clock_is_refused_by_name() -> None:
    times = np.array([1.0, np.nan, np.nan, 4.0])
    message = "split.method is `time`, but 2 of 4 events have no time; set split.method: leave"
    with pytest.raises(SplitError, match=re.escape(message)):
        split(np.array([0, 4]), times, Split(method="time"))


@pytest.mark.parametrize("times", [[5.0] * 6, [1.0], [1.0, 2.0]])
def test_a_log_too_short_for_its_windows_is_an_error(times: list[float]) -> None:
    with pytest.raises(SplitError, match="one of the windows holds no events"):
        split(np.array([0, len(times)]), np.array(times), Split(method="time"))


def test_a_user_who_came_late_has_nothing_to_train_on() -> None:
    offsets, times = flat([list(range(100)), [99]])
    cut = split(offsets, times, Split(method="time", validation=0.1, test=0.1))
    assert cut[1].tolist() == [0, 0]


def test_one_user_can_be_split() -> None:
    cut = split(np.array([0, 10]), np.arange(10.0), Split(validation=0.2, test=0.2))
    assert cut.tolist() == [[6, 8]]
