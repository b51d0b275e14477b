"""Intervals and p-values, against other implementations and against the truth."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import bootstrap, ttest_1samp

from decant.evaluation.intervals import (
    CHUNK,
    gain_draws,
    holm,
    informative,
    lower_bound,
    p_value,
    paired_gain,
    paired_ratio,
    ratio_draws,
    resampled,
)

RESAMPLES = 1000


def test_the_gain_is_the_mean_difference() -> None:
    gain = paired_gain(np.array([1.0, 0.5]), np.array([0.5, 0.25]), RESAMPLES, 0)
    assert (gain.gain, gain.n) == (0.375, 2)
    assert gain.low <= gain.lower_bound <= gain.gain <= gain.high


def test_the_interval_is_that_of_the_normal_approximation() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.3, 1.0, 400), rng.normal(0.2, 1.0, 400)
    gain = paired_gain(a, b, 4000, 0)
    spread = (a - b).std() / 20
    mean = (a - b).mean()
    assert gain.low == pytest.approx(mean - 1.96 * spread, abs=0.1 * spread)
    assert gain.high == pytest.approx(mean + 1.96 * spread, abs=0.1 * spread)
    assert gain.lower_bound == pytest.approx(mean - 1.645 * spread, abs=0.1 * spread)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    trials = [paired_gain(rng.normal(0.1, 1, 80), np.zeros(80), 300, seed) for seed in range(300)]
    covered = np.mean([t.low <= 0.1 <= t.high for t in trials])
    below = np.mean([t.lower_bound <= 0.1 for t in trials])
    assert covered == pytest.approx(0.95, abs=0.035)
    assert below == pytest.approx(0.95, abs=0.035)


def test_pairing_removes_what_both_share() -> None:
    rng = np.random.default_rng(2)
    users = rng.normal(0, 10, 300)
    gain = paired_gain(users + 0.1, users, RESAMPLES, 0)
    assert gain.low == pytest.approx(0.1)


def test_the_same_seed_gives_the_same_interval() -> None:
    a, b = np.random.default_rng(3).normal(size=(2, 50))
    assert paired_gain(a, b, 500, 7) == paired_gain(a, b, 500, 7)
    assert paired_gain(a, b, 500, 7) != paired_gain(a, b, 500, 8)


def test_one_user_has_an_interval_of_no_width() -> None:
    gain = paired_gain(np.array([0.5]), np.array([0.25]), RESAMPLES, 0)
    assert (gain.low, gain.high, gain.lower_bound) == (0.25, 0.25, 0.25)


def test_no_users_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="no users"):
        paired_gain(np.zeros(0), np.zeros(0), RESAMPLES, 0)


@pytest.mark.parametrize("resamples", [100, 200, 201, 450])
def test_any_number_of_resamples_is_drawn(resamples: int) -> None:
    a = np.random.default_rng(4).normal(size=30)
    gain = paired_gain(a, np.zeros(30), resamples, 0)
    assert gain.low < gain.gain < gain.high


def test_a_ratio_is_of_the_means_of_the_drawn_users() -> None:
    drawn = ratio_draws(np.array([1.0, 0.0]), np.array([2.0, 1.0]), 50, seed=1)
    assert set(drawn) == {0.0, 1 / 3, 0.5}


def test_a_ratio_has_bounds_on_both_sides_of_its_value() -> None:
    rng = np.random.default_rng(2)
    theirs = rng.random(80)
    ratio = paired_ratio(0.9 * theirs + 0.05 * rng.random(80), theirs, RESAMPLES, 0)
    assert ratio is not None
    assert ratio.lower_bound < ratio.value < ratio.upper_bound
    assert ratio.n == 80


def test_users_whom_only_one_side_serves_tell_the_two_apart() -> None:
    assert informative(np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.5, 0.0])) == 2


def test_the_bound_of_a_ratio_does_not_overlook_rare_large_losses() -> None:
    """One user in twenty is served nothing, the others as by the reference: truly 95 %."""
    rng = np.random.default_rng(6)
    wrong = 0
    for seed in range(300):
        theirs = np.full(100, 0.5)
        ours = theirs * (rng.random(100) >= 0.05)
        ratio = paired_ratio(ours, theirs, 300, seed)
        assert ratio is not None
        wrong += ratio.lower_bound > 0.95
    assert wrong <= 0.07 * 300


def test_a_ratio_to_nothing_is_none_and_draws_of_nothing_widen_its_bounds() -> None:
    assert paired_ratio(np.zeros(0), np.zeros(0), RESAMPLES, 0) is None
    assert paired_ratio(np.ones(5), np.zeros(5), RESAMPLES, 0) is None
    rare = np.array([1.0, 0.0, 0.0, 0.0])  # a third of the draws leave it out
    ratio = paired_ratio(rare, rare, RESAMPLES, 0)
    assert ratio is not None
    assert (ratio.value, ratio.lower_bound, ratio.upper_bound) == (1.0, 0.0, np.inf)


def drawn_means(differences: np.ndarray, seed: int = 0) -> np.ndarray:
    return gain_draws(differences, np.zeros(len(differences)), RESAMPLES, seed)


def test_bca_is_that_of_scipy() -> None:
    """With many users and little skewness Student's t is about the same: no bound is above both."""
    differences = np.random.default_rng(0).gumbel(size=60) - 0.3  # the left tail is the short one
    theirs = bootstrap(
        (differences,), np.mean, n_resamples=20_000, confidence_level=0.9, method="BCa",
        rng=np.random.default_rng(1),
    ).confidence_interval.low  # fmt: skip
    students = ttest_1samp(differences, 0).confidence_interval(0.9).low
    bound = lower_bound(differences, drawn_means(differences), 0.05)
    assert bound == pytest.approx(min(theirs, students), abs=0.02)
    left = lower_bound(-differences, drawn_means(-differences), 0.05)
    theirs = bootstrap(
        (-differences,), np.mean, n_resamples=20_000, confidence_level=0.9, method="BCa",
        rng=np.random.default_rng(1),
    ).confidence_interval.low  # fmt: skip
    students = ttest_1samp(-differences, 0).confidence_interval(0.9).low
    assert left == pytest.approx(min(theirs, students), abs=0.02)
    assert theirs < students


@pytest.mark.parametrize("level", [0.01, 0.05])
def test_a_bound_excludes_what_the_p_value_rejects(level: float) -> None:
    rng = np.random.default_rng(4)
    agreed = 0
    for _ in range(100):
        differences = rng.gumbel(size=80) * rng.choice([-1, 1]) + rng.normal() * 0.4
        draws = drawn_means(differences)
        bound, p = lower_bound(differences, draws, level), p_value(differences, draws, 0.0)
        agreed += (bound > 0) == (p <= level)
    assert agreed >= 97  # quantiles of finitely many draws are rounded


def test_users_who_all_gain_the_same_leave_no_doubt() -> None:
    same = np.full(30, 0.1)
    draws = drawn_means(same)
    assert lower_bound(same, draws, 0.01) == pytest.approx(0.1)
    assert p_value(same, draws, 0.0) < 0.01
    assert p_value(same, draws, 0.2) > 0.99


def test_a_p_value_falls_as_its_hypothesis_moves_away() -> None:
    """Also where one user makes all the difference, and BCa has a pole."""
    rng = np.random.default_rng(8)
    one = np.zeros(2400)
    one[0] = 1.0
    few = np.r_[np.zeros(992), 1.0, np.full(4, 0.05), np.full(3, -0.05)]
    for differences in (one, few, -one, rng.gumbel(size=300), -rng.gumbel(size=300)):
        draws = drawn_means(differences)
        places = differences.mean() + np.linspace(1, -6, 50) * differences.std() / 30
        p = [p_value(differences, draws, place) for place in places]
        assert all(b <= a + 1e-9 for a, b in pairwise(p))
        bounds = [lower_bound(differences, draws, level) for level in (0.2, 0.05, 0.01, 0.001)]
        assert all(b <= a for a, b in pairwise(bounds))


def test_rare_large_losses_are_not_overlooked() -> None:
    """One user in twenty loses all: the percentile bootstrap errs in 9 of 100 at this level."""
    rng = np.random.default_rng(5)
    population = np.r_[np.full(95, 0.04), np.full(5, -1.0)]
    population -= population.mean()
    wrong = 0
    for seed in range(400):
        differences = population[rng.integers(0, 100, 100)]
        draws = gain_draws(differences, np.zeros(100), 300, seed)
        wrong += p_value(differences, draws, 0.0) <= 0.0125
    assert wrong <= 0.03 * 400


def test_holm_divides_the_level_by_the_hypotheses_that_are_left() -> None:
    assert holm({"a": 0.001, "b": 0.02, "c": 0.04}) == {"a": 0.05 / 3, "b": 0.025, "c": 0.05}
    # `b` is not rejected, so `c` is not either, although its p-value is below 0.05
    assert holm({"a": 0.001, "b": 0.03, "c": 0.04}) == {"a": 0.05 / 3, "b": 0.025, "c": 0.025}
    assert holm({"a": 0.9}) == {"a": 0.05}
    assert holm({}) == {}


def test_holm_rejects_as_an_independent_implementation_does() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        p_values = {str(i): float(p) for i, p in enumerate(rng.random(6) ** 3)}
        order = sorted(p_values, key=p_values.__getitem__)
        adjusted = np.maximum.accumulate([(6 - i) * p_values[n] for i, n in enumerate(order)])
        rejected = {name for name, p in zip(order, adjusted, strict=True) if p <= 0.05}
        levels = holm(p_values)
        assert {name for name in p_values if p_values[name] <= levels[name]} == rejected


def test_the_interval_of_a_ratio_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        values = rng.random(60)
        drawn = ratio_draws(values, np.ones(60), 300, seed)
        low, high = np.quantile(drawn, [0.025, 0.975])
        covered += low <= 0.5 <= high
    assert 175 <= covered < 200


@pytest.mark.parametrize("resamples", [1, CHUNK, CHUNK + 1])
def test_users_are_drawn_a_chunk_at_a_time(resamples: int) -> None:
    drawn = list(resampled(7, resamples, 0))
    assert sum(len(chunk) for chunk in drawn) == resamples
    assert max(len(chunk) for chunk in drawn) <= CHUNK
    assert {chunk.shape[1] for chunk in drawn} == {7}
    assert set(np.unique(np.concatenate(drawn))) <= set(range(7))


def test_a_gain_and_a_ratio_draw_the_same_users() -> None:
    values = np.random.default_rng(5).random(40)
    low, high = np.quantile(ratio_draws(values, np.ones(40), 300, 2), [0.025, 0.975])
    gain = paired_gain(values, np.zeros(40), 300, 2)
    assert (gain.low, gain.high) == pytest.approx((low, high), rel=1e-12)
