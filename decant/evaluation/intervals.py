"""Is one model better than another? Paired bootstrap over users."""

from dataclasses import dataclass

import numpy as np

CHUNK = 200  # resamples drawn at a time, so that memory does not grow with the users


@dataclass(frozen=True)
class Gain:
    """Mean gain per user, with the bounds of its 95 % intervals.

    `low`, `high`: two-sided; `lower_bound`: one-sided; `n`: users.
    """

    gain: float
    low: float
    high: float
    lower_bound: float
    n: int


def paired_gain(ours: np.ndarray, theirs: np.ndarray, resamples: int, seed: int) -> Gain:
    """Bootstrap of the mean of `ours - theirs`, float [V] each, one value per user.

    Percentile intervals (Efron & Tibshirani 1993) over `resamples` draws of users.

    Raises:
        ValueError: there are no users.
    """
    difference = ours - theirs
    n = len(difference)
    if not n:
        raise ValueError("there are no users to compare models on")
    rng = np.random.default_rng(seed)
    means = np.concatenate(
        [
            difference[rng.integers(0, n, (min(CHUNK, resamples - done), n))].mean(axis=1)
            for done in range(0, resamples, CHUNK)
        ]
    )
    low, lower_bound, high = np.quantile(means, [0.025, 0.05, 0.975])
    return Gain(float(difference.mean()), float(low), float(high), float(lower_bound), n)
