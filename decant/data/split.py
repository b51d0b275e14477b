"""Training, validation and test windows, as positions within each user's sequence."""

import numpy as np

from decant.params.data import Split


class SplitError(ValueError):
    """The data cannot be split as configured."""


def split(offsets: np.ndarray, times: np.ndarray, settings: Split) -> np.ndarray:
    """Split each user's ordered events into training, validation and test.

    Args:
        offsets: int [U + 1], user u owns events `offsets[u]:offsets[u + 1]`.
        times: float [E], seconds; NaN for data without a clock.

    Returns:
        int64 [U, 2]: the number of the user's events before the validation window, and before
        the test window.

    Raises:
        SplitError: a split by time of data without times, or a window without events.

    >>> offsets, times = np.array([0, 4, 6]), np.array([1., 2., 3., 4., 1., 5.])
    >>> split(offsets, times, Split(method="leave-one-out")).tolist()
    [[2, 3], [0, 1]]
    >>> split(offsets, times, Split(method="time", validation=0.2, test=0.2)).tolist()
    [[3, 4], [1, 1]]
    >>> split(offsets, times, Split(method="by-user", validation=0.25, test=0.25)).tolist()
    [[2, 3], [0, 1]]
    """
    if settings.method == "leave-one-out":
        return _leave_one_out(offsets)
    if settings.method == "by-user":
        return _by_user(offsets, settings)
    return _by_time(offsets, times, settings)


def _leave_one_out(offsets: np.ndarray) -> np.ndarray:
    length = np.diff(offsets)
    return np.stack([np.maximum(length - 2, 0), np.maximum(length - 1, 0)], axis=1)


def _by_user(offsets: np.ndarray, settings: Split) -> np.ndarray:
    """The last shares of each user's events, one event at least."""
    length = np.diff(offsets)
    test, validation = (
        np.maximum(np.rint(share * length).astype(np.int64), 1)
        for share in (settings.test, settings.validation)
    )
    before = np.maximum(length - test, 0)
    return np.stack([np.maximum(before - validation, 0), before], axis=1)


def _by_time(offsets: np.ndarray, times: np.ndarray, settings: Split) -> np.ndarray:
    if np.isnan(times).any():
        raise SplitError(
            f"split.method is `time`, but {int(np.isnan(times).sum())} of {len(times)} events have "
            "no time; set split.method: leave-one-out"
        )
    ordered = np.sort(times)
    test_from = quantile(ordered, 1 - settings.test)
    validation_from = quantile(ordered, 1 - settings.test - settings.validation)
    before = [count_before(offsets, times, t) for t in (validation_from, test_from)]
    if not before[0].any() or (before[0] == before[1]).all():
        moments = len(np.unique(times))
        raise SplitError(
            "split.method is `time`, but one of the windows holds no events: the "
            f"{len(times):,} events have {moments:,} different time{'s' if moments != 1 else ''}, "
            f"too few for validation: {settings.validation} and test: {settings.test}; set "
            "split.method: leave-one-out, or check that the times are those of the events"
        )
    return np.stack(before, axis=1).astype(np.int64)


def count_before(offsets: np.ndarray, times: np.ndarray, moment: float) -> np.ndarray:
    """Number of each user's events before a moment, int [U]."""
    users = len(offsets) - 1
    user = np.repeat(np.arange(users), np.diff(offsets))
    return np.bincount(user[np.asarray(times) < moment], minlength=users)


def quantile(ordered: np.ndarray, share: float) -> float:
    """The time before which this share of all events, sorted by time, lies."""
    # rounded first: 1 - 0.2 - 0.2 is a little more than 0.6
    return float(ordered[min(int(np.ceil(round(share * len(ordered), 6))), len(ordered) - 1)])
