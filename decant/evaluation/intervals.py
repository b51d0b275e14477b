"""Bootstrap over users: intervals of paired differences and ratios; several tests at once.

Shapes: V users, one value each; R resamples.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

CHUNK = 200  # resamples drawn at a time, which bounds memory
SMALLEST = 1e-12  # p-value that is told apart from 0
LEVEL = 0.05  # error rate of one-sided bounds; over all tests of a family of tests


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


@dataclass(frozen=True)
class Ratio:
    """A ratio of means over users, with its one-sided 95 % bounds.

    `n`: users; `informative`: those with a value above 0 on either side, the others say nothing.
    """

    value: float
    lower_bound: float
    upper_bound: float
    n: int
    informative: int

    def document(self) -> dict[str, float | None]:
        """The fields for JSON; a bound that is infinite is None."""
        return {k: v if math.isfinite(v) else None for k, v in asdict(self).items()}


def paired_gain(ours: np.ndarray, theirs: np.ndarray, resamples: int, seed: int) -> Gain:
    """Bootstrap of the mean of `ours - theirs`, float [V] each, one value per user.

    Percentile intervals (Efron & Tibshirani 1993) over `resamples` draws of users.

    Raises:
        ValueError: no users.
    """
    means = gain_draws(ours, theirs, resamples, seed)
    low, lower_bound, high = np.quantile(means, [0.025, LEVEL, 0.975])
    gain = float((ours - theirs).mean())
    return Gain(gain, float(low), float(high), float(lower_bound), len(ours))


def gain_draws(ours: np.ndarray, theirs: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Means of `ours - theirs` over draws of users, float [R].

    Raises:
        ValueError: no users.
    """
    difference = ours - theirs
    if not len(difference):
        raise ValueError("there are no users to compare models on")
    drawn = resampled(len(difference), resamples, seed)
    return np.concatenate([difference[rows].mean(axis=1) for rows in drawn])


def paired_ratio(ours: np.ndarray, theirs: np.ndarray, resamples: int, seed: int) -> Ratio | None:
    """Bootstrap of mean `ours` ÷ mean `theirs`, float [V] each of at least 0.

    The bounds are the wider ones of the percentiles of the draws, and of `lower_bound` for the
    differences `ours - ratio * theirs`. A draw in which `theirs` is 0 counts as 0 for the lower and
    as infinite for the upper bound. None without users, or if `theirs` is 0.
    """
    if not len(theirs) or not theirs.sum() > 0:
        return None
    drawn = ratio_draws(ours, theirs, resamples, seed)
    known = np.isfinite(drawn)
    lower = np.quantile(np.where(known, drawn, 0.0), LEVEL)
    upper = np.quantile(np.where(known, drawn, np.inf), 1 - LEVEL, method="higher")
    value = float(ours.sum() / theirs.sum())
    rest = ours - value * theirs
    means = gain_draws(rest, np.zeros(len(rest)), resamples, seed)
    below, above = lower_bound(rest, means, LEVEL), lower_bound(-rest, -means, LEVEL)
    scale = float(theirs.mean())
    return Ratio(
        value,
        float(max(0.0, min(lower, value + below / scale))),
        float(max(upper, value - above / scale)),
        len(theirs),
        informative(ours, theirs),
    )


def informative(ours: np.ndarray, theirs: np.ndarray) -> int:
    """Number of users with a value above 0 on either side; the others do not tell them apart."""
    return int(np.count_nonzero((ours > 0) | (theirs > 0)))


def ratio_draws(above: np.ndarray, below: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Bootstrap of mean `above` ÷ mean `below`, float [V] each, one value per user; float [R]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.concatenate(
            [
                above[drawn].sum(axis=1) / below[drawn].sum(axis=1)
                for drawn in resampled(len(above), resamples, seed)
            ]
        )


def p_value(differences: np.ndarray, draws: np.ndarray, at_most: float) -> float:
    """One-sided p-value of "the true mean is at most `at_most`".

    The larger one of Student's t and of BCa (Efron 1987): with few users the first underestimates
    losses that are rare and large, the second those that are not; see `decant bench gate`.

    Args:
        differences: float [V]; draws: their means over draws of users, float [R].
    """
    share = float((1 + np.count_nonzero(draws <= at_most)) / (2 + len(draws)))
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    if spread == 0:
        return float(share)
    if draws.min() > at_most:  # beyond the draws: their tail as a normal one
        width = float(draws.std())
        tail = float(ndtr((at_most - draws.mean()) / width)) if width > 0 else 0.0
        share = min(share, max(tail, SMALLEST))
    students = (float(differences.mean()) - at_most) * len(differences) ** 0.5 / spread
    bias, acceleration = _bca(differences, draws)
    shifted = ndtri(share) - bias
    scale = 1 + acceleration * shifted  # at most 0 where BCa excludes the value altogether
    corrected = shifted / scale if scale > 0 else np.copysign(np.inf, shifted)
    return float(max(1 - stdtr(len(differences) - 1, students), ndtr(corrected - bias)))


def lower_bound(differences: np.ndarray, draws: np.ndarray, level: float) -> float:
    """One-sided lower bound of the mean at error rate `level`, of Student's t or BCa.

    Args:
        differences: float [V]; draws: their means over draws of users, float [R].
    """
    mean = float(differences.mean())
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    if spread == 0:
        return mean
    students = mean + stdtrit(len(differences) - 1, level) * spread / len(differences) ** 0.5
    bias, acceleration = _bca(differences, draws)
    shifted = bias + ndtri(level)
    scale = 1 - acceleration * shifted
    at = ndtr(bias + shifted / scale) if scale > 0 else 0.0
    return float(min(students, np.quantile(draws, at)))


def _bca(differences: np.ndarray, draws: np.ndarray) -> tuple[float, float]:
    """Bias correction and acceleration of the mean (Efron 1987)."""
    mean, centred = differences.mean(), differences - differences.mean()
    below = np.count_nonzero(draws < mean) + np.count_nonzero(draws == mean) / 2
    bias = ndtri((1 + below) / (2 + len(draws)))
    return float(bias), float((centred**3).sum() / (6 * (centred**2).sum() ** 1.5))


def holm(p_values: Mapping[str, float], level: float = LEVEL) -> dict[str, float]:
    """The level at which each hypothesis is tested (Holm 1979).

    A hypothesis is rejected if its p-value is at most its level; then the probability of one or
    more false rejections is at most `level`, whatever the dependence between the tests. After the
    first that is not rejected, the others keep its level, and none of them is.
    """
    levels, left, stopped = {}, len(p_values), False
    for name in sorted(p_values, key=lambda name: (p_values[name], name)):
        levels[name] = level / left
        stopped = stopped or not p_values[name] <= levels[name]  # NaN too
        left -= not stopped
    return levels


def resampled(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Draws of `n` users out of `n`, with replacement: int [R', n] at a time, R in all."""
    rng = np.random.default_rng(seed)
    for done in range(0, resamples, CHUNK):
        yield rng.integers(0, n, (min(CHUNK, resamples - done), n))
