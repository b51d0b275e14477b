import numpy as np
import pytest

from decant.evaluation.intervals import CHUNK, paired_gain, ratio_draws, resampled

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


def test_a_ratio_draws_a_user_with_all_cases() -> None:
    above, below = np.array([1.0, 0.0, 1.0, 0.0]), np.ones(4)
    assert np.ptp(ratio_draws(above, below, np.array([5, 5, 9, 9]), 50, seed=1)) == 0
    apart = ratio_draws(above, below, np.array([5, 9, 5, 9]), 50, seed=1)
    assert set(apart) == {0.0, 0.5, 1.0}


def test_the_interval_of_a_ratio_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        values = rng.random(60)
        drawn = ratio_draws(values, np.ones(60), np.arange(60), 300, seed)
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
    low, high = np.quantile(ratio_draws(values, np.ones(40), np.arange(40), 300, 2), [0.025, 0.975])
    gain = paired_gain(values, np.zeros(40), 300, 2)
    assert (gain.low, gain.high) == pytest.approx((low, high), rel=1e-12)
