"""Bootstrap over users: intervals of paired differences, draws of ratios.

Shapes: C cases, V users, R resamples.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

CHUNK = 200  # resamples drawn at a time, which bounds memory


@dataclass(frozen=True)
class Gain:
    """Mean gain per user with the bounds of its 95 % intervals.

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
        ValueError: no users.
    """
    difference = ours - theirs
    n = len(difference)
    if not n:
        raise ValueError("there are no users to compare models on")
    means = np.concatenate(
        [difference[drawn].mean(axis=1) for drawn in resampled(n, resamples, seed)]
    )
    low, lower_bound, high = np.quantile(means, [0.025, 0.05, 0.975])
    return Gain(float(difference.mean()), float(low), float(high), float(lower_bound), n)


def ratio_draws(
    above: np.ndarray, below: np.ndarray, users: np.ndarray, resamples: int, seed: int
) -> np.ndarray:
    """Bootstrap of Σ above ÷ Σ below, float [C] each, over their `users` [C]; float [R].

    Each user is drawn with all their cases.
    """
    inverse = np.unique(users, return_inverse=True)[1]
    over, under = np.bincount(inverse, above), np.bincount(inverse, below)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.concatenate(
            [
                over[drawn].sum(axis=1) / under[drawn].sum(axis=1)
                for drawn in resampled(len(over), resamples, seed)
            ]
        )


def resampled(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Draws of `n` users out of `n`, with replacement: int [R', n] at a time, R in all."""
    rng = np.random.default_rng(seed)
    for done in range(0, resamples, CHUNK):
        yield rng.integers(0, n, (min(CHUNK, resamples - done), n))
