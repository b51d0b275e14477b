"""Simulated decisions of the gate have the true gain that they were given."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from benchmarks.harness.checkout import Clone
from benchmarks.harness.demo_workspace import ShopError
from benchmarks.system import gate as bench
from benchmarks.system.gate import alone, any_of, decide, percent, population, rare, rate, simulate
from decant.params.load import Params, parse_params
from decant.params.release import Gate

GATE = Gate(resamples=100)


def make_people(groups: int = 4, users: int = 1000) -> bench.Population:
    """Groups whose students rank the target a little higher or lower than general."""
    rng = np.random.default_rng(0)
    people = {}
    for number in range(groups):
        ranks = rng.geometric(0.15, users)
        own = np.maximum(1, ranks + rng.integers(-2, 3, users))
        ndcg = [np.where(r <= 10, 1 / np.log2(r + 1.0), 0.0) for r in (own, ranks)]
        people[f"group_{number}"] = (ndcg[0], ndcg[1])
    return people


def test_large_gains_are_accepted_and_large_losses_are_not() -> None:
    people, rng = make_people(), np.random.default_rng(1)
    gains = {"group_0": 0.2, "group_1": -0.2, "group_2": 0.2, "group_3": -0.2}
    accepted = decide(people, gains, GATE, 400, rng)
    assert accepted == {"group_0": True, "group_1": False, "group_2": True, "group_3": False}


def test_a_loss_that_is_accepted_counts_and_a_gain_does_not() -> None:
    people, rng = make_people(), np.random.default_rng(1)
    gains = dict.fromkeys(people, 0.2)
    assert any_of(people, gains, GATE, 400, rng) is False
    lenient = GATE.model_copy(update={"margin": 1.0})
    barely = dict.fromkeys(people, -1e-9)
    assert any(any_of(people, barely, lenient, 100, rng) for _ in range(5)) is True


def test_groups_alone_err_more_often_than_together() -> None:
    people, rng = make_people(8), np.random.default_rng(2)
    lost = dict.fromkeys(people, -GATE.margin)
    together = sum(any_of(people, lost, GATE, 150, rng) for _ in range(60))
    apart = sum(alone(people, lost, GATE, 150, rng) for _ in range(60))
    assert together < apart


def test_one_user_in_twenty_loses_all_in_the_hard_case() -> None:
    for name, (ours, theirs) in rare(make_people()).items():
        changed = ours != theirs
        assert 0 < changed.sum() <= 50, name
        assert (ours[changed] == 0).all()


def test_a_rate_has_the_interval_of_an_independent_implementation() -> None:
    figure = rate(*[True] * 7, *[False] * 93)
    expected = binomtest(7, 100).proportion_ci(method="wilson")
    assert (figure["value"], figure["n"]) == (0.07, 100)
    assert figure["low"] == pytest.approx(expected.low, abs=1e-4)
    assert figure["high"] == pytest.approx(expected.high, abs=1e-4)


@pytest.mark.parametrize(("gain", "name"), [(-0.02, "minus_2"), (0.0, "0"), (0.05, "plus_5")])
def test_gains_are_named_in_percent(gain: float, name: str) -> None:
    assert percent(gain) == name


def test_every_rate_is_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "RUNS", 3)
    monkeypatch.setattr(bench, "FEWER", 2)
    figures = simulate(make_people(2, 300), GATE, 60, 0)
    assert {*figures} == {
        "error.margin", "error.half", "rare.margin", "alone.margin",
        "accepted.minus_2", "accepted.0", "accepted.plus_2", "accepted.plus_5", "accepted.plus_10",
    }  # fmt: skip
    assert figures["error.margin"]["n"] == 3
    assert figures["accepted.0"]["n"] == 4


def clone_with(root: Path) -> tuple[Clone, Params]:
    """A finished run: two users of each group, each with one case per window."""
    params = parse_params(
        {"students": {"general": {"init": "teacher"}, "a": {"init": "general", "where": "age > 1"}}}
    )
    rows = [
        {"model": model, "window": window, "user": user, "position": user, "rank": rank}
        for model, rank in (("general/int8", 3), ("a/int8", 1))
        for window in ("validation", "test")
        for user in range(4)
    ]
    for place in ("evaluation", "segments"):
        (root / "data" / place).mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(root / "data" / "evaluation" / "cases.parquet")
    np.save(root / "data" / "segments" / "a.npy", np.array([1, 2]))
    return Clone(root), params


def test_the_population_is_each_groups_users_in_both_windows(tmp_path: Path) -> None:
    people = population(*clone_with(tmp_path))
    ours, theirs = people["a"]
    assert ours.tolist() == [1.0] * 4
    assert theirs.tolist() == [0.5] * 4


def test_a_shop_without_groups_is_no_population(tmp_path: Path) -> None:
    clone, params = clone_with(tmp_path)
    alone_served = params.model_copy(update={"students": {"general": params.students["general"]}})
    with pytest.raises(ShopError, match="no groups"):
        population(clone, alone_served)
