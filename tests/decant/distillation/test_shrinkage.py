"""Interpolated students: the weights, and the choice of how much of the difference is kept."""

from typing import Any

import numpy as np
import pytest
import torch

from decant.distillation import shrinkage
from decant.distillation.shrinkage import (
    GRID,
    best_weights,
    choose,
    empirical_bayes,
    fold_of,
    interpolate,
    measure_grid,
    shrink_students,
)
from decant.features.holdout import in_selection

torch.set_num_threads(1)


def test_the_ends_are_the_start_and_the_student_and_between_is_between(family: Any) -> None:
    start, student = family.models["general"], family.models["a"]
    before, after = start.state_dict(), student.state_dict()
    for weight, expected in ((0.0, before), (1.0, after)):
        for name, value in interpolate(start, student, weight).state_dict().items():
            assert torch.equal(value, expected[name]), name
    half = interpolate(start, student, 0.5).state_dict()
    for name, value in half.items():
        torch.testing.assert_close(value, (before[name] + after[name]) / 2)


def test_interpolating_changes_neither_model(family: Any) -> None:
    start, student = family.models["general"], family.models["a"]
    before = {name: value.clone() for name, value in student.state_dict().items()}
    interpolate(start, student, 0.3).bias.data.zero_()
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())


def test_other_architectures_are_refused(family: Any) -> None:
    with pytest.raises(ValueError, match="same architecture"):
        interpolate(family.models["teacher"], family.models["a"], 0.5)


def test_effects_without_a_difference_are_shrunk_to_their_mean_entirely() -> None:
    means, overall = empirical_bayes(np.full(3, 0.02), np.array([0.1, 0.01, 0.001]))
    assert means.tolist() == pytest.approx([0.02] * 3)
    assert overall == pytest.approx(0.02)


def test_a_moment_estimate_by_hand() -> None:
    """Equal variances v: the mean, and between = s² - v, so that each keeps 1 - v ÷ s²."""
    effects, variance = np.array([0.0, 0.3, 0.6]), 0.03
    spread = float(np.var(effects, ddof=1))
    means, overall = empirical_bayes(effects, np.full(3, variance))
    assert overall == pytest.approx(0.3)
    assert means.tolist() == pytest.approx(
        (0.3 + (1 - variance / spread) * (effects - 0.3)).tolist()
    )


def test_a_noisy_segment_is_shrunk_more_than_a_precise_one() -> None:
    means, overall = empirical_bayes(
        np.array([0.5, 0.5, 0.0, 0.0]), np.array([0.3, 1e-4, 1e-4, 1e-4])
    )
    assert abs(means[0] - overall) < abs(means[1] - overall)


def curve(peak: int, users: int, noise: float, seed: int) -> np.ndarray:
    """Gains with a maximum at one λ, float [V, L]; 0 at λ = 0."""
    truth = -0.05 * np.abs(np.arange(len(GRID)) - peak) + 0.05 * peak
    gains = truth + noise * np.random.default_rng(seed).normal(size=(users, len(GRID)))
    return np.asarray(gains * (np.arange(len(GRID)) > 0))


def test_the_weight_follows_each_segments_own_evidence_where_there_is_enough() -> None:
    gains = {"far": curve(4, 4000, 0.1, 0), "near": curve(1, 4000, 0.1, 1)}
    assert best_weights(gains) == {"far": 1.0, "near": 0.25}


def test_a_segment_of_a_few_users_follows_the_others() -> None:
    gains = {f"s{i}": curve(3, 3000, 0.1, i) for i in range(4)} | {"few": curve(0, 3, 3.0, 9)}
    assert best_weights(gains)["few"] == 0.75
    assert best_weights({**gains, "none": np.zeros((0, len(GRID)))})["none"] == 0.75


def test_a_few_users_who_all_gain_the_same_do_not_decide_for_all() -> None:
    losing = {f"s{i}": curve(0, 2000, 0.1, i) for i in range(4)}
    tiny = {"tiny": np.tile([0.0, 0.1, 0.2, 0.3, 0.37], (2, 1))}
    tiny["tiny"][1, 1:] += 1e-6  # a variance of their own that is next to nothing
    assert best_weights({**losing, **tiny}) == dict.fromkeys([*losing, "tiny"], 0.0)


def test_without_a_gain_the_start_itself_is_kept() -> None:
    losing = -np.abs(curve(4, 50, 0.1, 2))
    assert best_weights({"a": losing}) == {"a": 0.0}
    assert best_weights({"a": np.zeros((0, len(GRID)))}) == {"a": 0.0}


def test_the_gain_is_measured_on_users_who_did_not_choose() -> None:
    """Noise alone: the chosen λ looks good to those who chose, and gains nothing for the others."""
    rng = np.random.default_rng(3)
    own, honest = [], []
    for _ in range(60):
        users = np.arange(200)
        quality = 0.3 + 0.2 * rng.normal(size=(200, len(GRID)))
        choice = choose({"a": (users, quality)})["a"]
        gains = (quality - quality[:, :1]).mean(axis=0)
        own.append(gains.max())
        honest.append(choice.gain)
    assert np.mean(own) > 0.01
    assert abs(np.mean(honest)) < 0.005


def test_the_weight_is_the_mean_of_the_folds_choices() -> None:
    users = np.arange(2000)
    quality = np.zeros((2000, len(GRID)))
    quality[:, 1:] = np.where(fold_of(users) == 0, 0, 1)[:, None] * [0.1, 0, 0, 0]
    quality[:, 1:] += np.where(fold_of(users) == 1, 0, 1)[:, None] * [0, 0, 0, 0.1]
    assert choose({"a": (users, quality)})["a"].weight == pytest.approx((0.25 + 1.0) / 2)


def test_folds_are_even_within_the_selection_half() -> None:
    users = np.arange(10_000)
    users = users[in_selection(users)]
    assert 0.47 < fold_of(users).mean() < 0.53


def test_the_grid_is_measured_on_the_selection_users_of_the_segment(family: Any) -> None:
    members = family.known.members["a"]
    users, quality = measure_grid(
        family.models["general"], family.models["a"], family.material, members
    )
    assert in_selection(users).all()
    assert np.isin(users, members).all()
    assert quality.shape == (len(users), len(GRID))
    assert quality[:, -1].mean() > quality[:, 0].mean() + 0.1  # the student knows its segment


def test_a_student_that_knows_its_segment_keeps_some_of_its_difference(family: Any) -> None:
    shrunk, choices = shrink_students(
        family.models, {"a": "general", "b": "general"}, family.material, family.known.members
    )
    assert {*shrunk} == {*choices} == {"a", "b"}
    for name, choice in choices.items():
        assert choice.weight > 0, name
        assert choice.gain > 0.1
    expected = interpolate(family.models["general"], family.models["a"], choices["a"].weight)
    for name, value in shrunk["a"].state_dict().items():
        assert torch.equal(value, expected.state_dict()[name])


def test_students_of_another_architecture_are_left_as_they_are(family: Any) -> None:
    shrunk, choices = shrink_students(
        family.models, {"a": "teacher"}, family.material, family.known.members
    )
    assert (shrunk, choices) == ({}, {})


def test_students_of_different_starts_are_decided_apart(
    family: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def noted(measured: Any) -> Any:
        asked.append(sorted(measured))
        return choose(measured)

    monkeypatch.setattr(shrinkage, "choose", noted)
    starts = {"a": "general", "b": "a"}
    shrink_students(family.models, starts, family.material, family.known.members)
    assert asked == [["a"], ["b"]]
