"""No fold learns from anything at or after what it validates on, and none sees the test window."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from decant.data.split import split
from decant.features.holdout import decision_cases, in_selection, selection_cases
from decant.features.sequences import TEST, Sequences, cases
from decant.params.data import Split
from decant.training.batches import training_windows
from decant.tuning.folds import FoldsError, make_folds

BY_TIME = Split(method="time", validation=0.1, test=0.2, cases_per_user=3)
LAST = Split(method="leave-one-out", cases_per_user=3)
BY_USER = Split(method="by-user", validation=0.2, test=0.2, cases_per_user=3)


def behaviours(make_sequences: Callable[..., Sequences], cut: Split) -> Sequences:
    """Users of 1 to 30 events at random times, several at the same moment."""
    rng = np.random.default_rng(3)
    users = [[1 + n % 9 for n in range(rng.integers(1, 31))] for _ in range(40)]
    made = make_sequences(users)
    times = np.concatenate([np.sort(rng.integers(0, 200, len(user))) for user in users])
    by_time = replace(made, times=times.astype(np.float64))
    return replace(by_time, split=split(made.offsets, by_time.times, cut))


def learned(fold: Sequences) -> np.ndarray:
    """Flat indices of every event that a fold's windows hold, as context or as a target."""
    windows = training_windows(fold, 4)
    return np.unique(
        np.concatenate([np.arange(a, b) for a, b in zip(windows.first, windows.stop, strict=True)])
    )


@pytest.mark.parametrize("cut", [BY_TIME, BY_USER, LAST])
def test_no_fold_learns_from_a_users_events_at_or_after_its_cases(
    make_sequences: Any, cut: Split
) -> None:
    sequences = behaviours(make_sequences, cut)
    owner = np.repeat(np.arange(sequences.users), np.diff(sequences.offsets))
    for fold in make_folds(sequences, cut, 4):
        known, selected = learned(fold), selection_cases(fold, cut.cases_per_user)
        assert len(known) and len(selected)
        for user, position in zip(selected.user, selected.position, strict=True):
            assert (known[owner[known] == user] < position).all()


def test_a_fold_by_time_learns_from_nothing_at_or_after_its_window_of_anybody(
    make_sequences: Any,
) -> None:
    sequences = behaviours(make_sequences, BY_TIME)
    ends = []
    for fold in make_folds(sequences, BY_TIME, 4):
        known, window = learned(fold), sequences.times[selection_cases(fold, 99).position]
        assert sequences.times[known].max() < window.min()
        ends.append((window.min(), window.max()))
    for newer, older in pairwise(ends):
        assert older[1] < newer[0]  # one window behind the other


@pytest.mark.parametrize("cut", [BY_TIME, BY_USER, LAST])
def test_neither_the_test_window_nor_the_users_that_decide_are_in_any_fold(
    make_sequences: Any, cut: Split
) -> None:
    sequences = behaviours(make_sequences, cut)
    unseen = {*cases(sequences, TEST, 99).position, *decision_cases(sequences, 99).position}
    for fold in make_folds(sequences, cut, 4):
        selected = selection_cases(fold, 99)
        assert not unseen & {*selected.position}
        assert in_selection(selected.user).all()
        assert not {*cases(sequences, TEST, 99).position} & {*learned(fold)}


@pytest.mark.parametrize("cut", [BY_TIME, BY_USER, LAST])
def test_the_first_fold_is_the_split_as_it_is_and_each_further_one_knows_less(
    make_sequences: Any, cut: Split
) -> None:
    sequences = behaviours(make_sequences, cut)
    folds = make_folds(sequences, cut, 3)
    assert np.array_equal(folds[0].split, sequences.split)
    sizes = [int(fold.split[:, 0].sum()) for fold in folds]
    assert sizes[0] > sizes[1] > sizes[2]
    for newer, older in pairwise(folds):
        assert np.array_equal(older.split[:, 1], newer.split[:, 0]) or cut is LAST
        assert (older.split[:, 1] <= newer.split[:, 0].clip(1)).all()


def test_each_fold_of_the_last_events_validates_on_the_event_before(make_sequences: Any) -> None:
    sequences = make_sequences([[1, 2, 3, 4, 5, 6]] * 4)
    splits = [fold.split[0].tolist() for fold in make_folds(sequences, LAST, 3)]
    assert splits == [[4, 5], [3, 4], [2, 3]]


def test_more_folds_than_there_is_past_are_refused(make_sequences: Any) -> None:
    short = make_sequences([[1, 2, 3, 4, 5]] * 4)
    with pytest.raises(FoldsError, match=r"fold 3 of 5 has no user .*: set tune.folds to 2"):
        make_folds(short, LAST, 5)
    sequences = behaviours(make_sequences, BY_TIME)
    with pytest.raises(FoldsError, match="set tune.folds to 7"):
        make_folds(sequences, BY_TIME, 12)
    nobody = make_sequences([[1, 2, 3]] * 4)
    with pytest.raises(FoldsError, match="fold 1 of 1 has no user .*: see split"):
        make_folds(nobody, LAST, 1)


def test_a_fold_in_which_no_user_that_picks_has_a_case_is_refused(make_sequences: Any) -> None:
    picks = in_selection(np.arange(20))
    split = [[5, 5] if pick else [3, 4] for pick in picks]
    sequences = make_sequences([[1, 2, 3, 4, 5]] * 20, split=split)
    assert len(decision_cases(sequences, 1))
    with pytest.raises(FoldsError, match="fold 1 of 1 has no event of the selection half"):
        make_folds(sequences, LAST, 1)
