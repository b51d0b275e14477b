"""Quality of two runs, paired by user and event, with the interval of each group's gain."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from decant.diff.quality import (
    BETTER,
    FEW,
    NOISE,
    SAME,
    UNKNOWN,
    WORSE,
    Quality,
    Row,
    compare_quality,
)
from decant.evaluation.intervals import paired_gain
from decant.evaluation.metrics import ndcg

NewRun = Callable[..., Any]


def compared(project: Any, a: Any, b: Any) -> Quality:
    project.commit(a)
    project.commit(b)
    return compare_quality(project.side("HEAD~1"), project.side("HEAD"))


def row(quality: Quality, model: str, group: str, window: str = "test") -> Row:
    [result] = [r for r in quality.rows if (r.window, r.model, r.group) == (window, model, group)]
    return result


def test_a_groups_gain_is_that_of_the_paired_bootstrap(
    project: Any, new_run: NewRun, better: Any
) -> None:
    quality = compared(project, new_run(), better)
    ours = ndcg(better.ranks["women/int8"][:30], 10)
    theirs = ndcg(np.full(30, 3), 10)
    expected = paired_gain(ours, theirs, 200, 3)
    women = row(quality, "family", "women")
    assert (women.gain, women.low, women.high) == (expected.gain, expected.low, expected.high)
    assert (women.a, women.b) == pytest.approx((theirs.mean(), ours.mean()))
    assert (women.users, women.verdict) == (30, BETTER)


def test_what_did_not_change_has_the_same_ranks(project: Any, new_run: NewRun, better: Any) -> None:
    quality = compared(project, new_run(), better)
    assert row(quality, "teacher", "all").verdict == SAME
    assert row(quality, "family", "general").verdict == SAME
    assert row(quality, "family", "all", "validation").verdict == BETTER


def test_the_other_way_round_it_is_worse(project: Any, new_run: NewRun, better: Any) -> None:
    assert row(compared(project, better, new_run()), "family", "women").verdict == WORSE


def test_an_interval_with_0_in_it_is_no_change(project: Any, new_run: NewRun) -> None:
    other = new_run()
    other.ranks["women/int8"] = 3 + np.tile([1, -1], 30)  # as many lose as win
    gain = row(compared(project, new_run(), other), "family", "women")
    assert gain.verdict == NOISE
    assert gain.low < 0 < gain.high and gain.gain != 0


def test_of_a_few_users_nothing_is_said(project: Any, new_run: NewRun, better: Any) -> None:
    first = np.arange(19, dtype=np.int32)
    better.women = first
    assert row(compared(project, new_run(women=first), better), "family", "women").verdict == FEW


def test_the_family_is_who_serves_a_group_as_the_gate_decided(
    project: Any, new_run: NewRun
) -> None:
    quality = compared(project, new_run(ships=False), new_run())
    women = row(quality, "family", "women")
    assert (women.a, women.b) == pytest.approx(tuple(ndcg(np.array([4, 3]), 10)))


def test_a_group_that_is_another_is_compared_as_b_has_it(project: Any, new_run: NewRun) -> None:
    fewer = new_run(women=np.arange(20, dtype=np.int32))
    quality = compared(project, new_run(), fewer)
    assert row(quality, "family", "women").users == 20
    assert row(quality, "family", "general").users == 40
    assert row(quality, "family", "general").verdict == WORSE  # ten of them were women's
    assert "10 users are in another group in B: groups are compared as in B" in quality.notes


def test_users_with_other_numbers_are_found_by_their_pseudonyms(
    project: Any, new_run: NewRun
) -> None:
    """One user less: everybody's number and every event's place is another."""
    people = [f"p{n:03}" for n in range(1, 60)]
    ranks = {name: values[1:] for name, values in new_run().ranks.items()}
    ranks["teacher"] = np.arange(1, 60) % 7 + 1
    before = new_run()
    before.ranks["teacher"] = np.arange(60) % 7 + 1
    quality = compared(
        project,
        before,
        new_run(people=people, ranks=ranks, women=np.arange(29, dtype=np.int32)),
    )
    assert row(quality, "teacher", "all").verdict == SAME
    assert row(quality, "teacher", "all").users == 59
    assert row(quality, "family", "women").users == 29
    assert "test: 59 shared cases, of 60 in A and 59 in B" in quality.notes


def test_runs_of_other_users_are_compared_without_an_interval(
    project: Any, new_run: NewRun
) -> None:
    strangers = new_run(people=[f"q{n}" for n in range(60)])
    quality = compared(project, new_run(), strangers)
    assert not quality.paired and quality.missing is None
    assert "the runs share no case: figures without an interval" in quality.notes
    assert row(quality, "family", "women").verdict == UNKNOWN


def test_another_cutoff_measures_both_sides_at_bs(project: Any, new_run: NewRun) -> None:
    narrow = new_run()
    narrow.settings["evaluate"]["k"] = 3
    quality = compared(project, new_run(), narrow)
    assert quality.k == 3
    assert row(quality, "family", "general").b == 0  # ranked fourth
    assert row(quality, "family", "all").verdict == SAME
    assert "both sides are measured at B's k = 3" in quality.notes


@pytest.mark.parametrize(
    "place",
    [
        "data/evaluation/cases.parquet",
        "data/segments/women.npy",
        "data/segments/_served_by_general.npy",
    ],
)
def test_without_the_ranks_of_one_side_figures_have_no_interval(
    project: Any, new_run: NewRun, better: Any, place: str
) -> None:
    run = new_run(women=np.arange(21, dtype=np.int32))
    project.commit(run)
    project.commit(better)
    project.forget(run, place)
    quality = compare_quality(project.side("HEAD~1"), project.side("HEAD"))
    assert (quality.paired, quality.missing) == (False, f"A: {place}")
    assert quality.notes == [f"A: {place} is not in DVC's cache: figures without an interval"]
    women = row(quality, "family", "women")
    assert (women.a, women.b, women.gain, women.low) == (0.55, 0.55, 0, None)


def test_figures_at_another_cutoff_are_not_subtracted(project: Any, new_run: NewRun) -> None:
    narrow = new_run()
    narrow.settings["evaluate"]["k"] = 3
    project.commit(new_run())
    project.commit(narrow)
    project.forget(narrow, "data/segments/women.npy")
    quality = compare_quality(project.side("HEAD~1"), project.side("HEAD"))
    women = row(quality, "family", "women")
    assert (women.a, women.b, women.gain) == (0.55, 0.55, None)
