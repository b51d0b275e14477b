"""A comparison of students whose ranks are made up, so that its figures are known."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.experiments.student_scores import Scores, differences, family, relative_gain
from benchmarks.experiments.students import groups_outcome, losses_outcome
from benchmarks.experiments.variants import Comparison, compare_groups, compare_losses
from decant.evaluation.evaluate import ALL, HOPS
from decant.features.holdout import in_selection
from decant.features.sequences import TEST, VALIDATION
from decant.params.load import Params, parse_params
from decant.params.types import TEACHER
from decant.release.decision import Evidence

USERS = 200
MEMBERS = {"a": np.arange(100), "b": np.arange(100, 200)}
PARAMS = parse_params(
    {
        "gate": {"min_deciding_users": 40},
        "students": {
            "general": {"init": "teacher"},
            "a": {"init": "general", "where": "group == 'a'", "priority": 5},
            "b": {"init": "general", "where": "group == 'b'", "priority": 5},
        },
    }
)
BETTER = {"a": slice(0, 100), "a_adapters": slice(0, 50)}  # rank 1 instead of 3 for these users
COSTS = {TEACHER: 1000, "narrow": 100}


def made_up(comparison: Comparison, params: Params, worse: str = "b") -> Scores:
    """The teacher and students of `BETTER` rank targets first, one worst, all others third."""
    models = [TEACHER, *(f"{s}/{hop}" for s in comparison.students for hop in HOPS)]
    cases, figures = {}, {}
    for model in models:
        student = model.partition("/")[0]
        ranks = np.full(USERS, 1 if student == TEACHER else 3)
        if student in BETTER:
            ranks[BETTER[student]] = 1
        if student == worse:
            ranks[100:] = 11
        for window in (VALIDATION, TEST):
            cases[model, window] = pd.DataFrame({"user": np.arange(USERS), "rank": ranks})
        size = COSTS.get(student, 200)
        figures[model] = {"multiply_adds": size, "bytes": 2 * size}
    trained = {name: {"events": 500, "best_epoch": 1} for name in comparison.students}
    verdict = {"passed": True, "segments": {"a": {"ships": True}, "b": {"ships": False}}}
    metrics = {"models": figures, "catalogue": 20, "k": 10}
    members = MEMBERS if comparison.groups else {}
    return Scores(comparison, params, cases, metrics, verdict, trained, members, 10)


@pytest.fixture(scope="module")
def scores() -> Scores:
    return made_up(compare_groups(PARAMS), PARAMS)


@pytest.fixture(scope="module")
def figures(scores: Scores) -> dict[str, Any]:
    return dict(groups_outcome(scores, {"a": 0.3, "b": 0.1}, "demo", "quick").figures)


def test_a_variant_for_groups_serves_each_group_by_its_own_student(scores: Scores) -> None:
    served = scores.served("segment", TEST)
    assert (served[0][0], served[150][0]) == (1.0, 0.0)
    partly = scores.served("segment", TEST, {"a"})
    assert (partly[0][0], partly[150][0]) == (1.0, 0.5)


def test_a_student_is_accepted_on_decision_users_alone(scores: Scores) -> None:
    evidence = scores.evidence("a", "a")
    assert evidence is not None
    assert len(evidence.ours) == (~in_selection(MEMBERS["a"])).sum()
    assert evidence.margin == scores.params.gate.margin * 0.5  # of general's NDCG
    assert scores.accepted("segment") == {"a"}
    assert scores.accepted("scratch") == set()  # as good as general, and no better


def edited(scores: Scores, model: str, window: str, ranks: np.ndarray) -> Scores:
    """The scores with other ranks of one model, for all users."""
    table = pd.DataFrame({"user": np.arange(USERS), "rank": ranks})
    return replace(scores, cases={**scores.cases, (model, window): table})


def test_the_test_window_accepts_nobody(scores: Scores) -> None:
    ranks = np.full(USERS, 20)
    worst = edited(scores, "a/distilled", TEST, ranks)
    assert worst.accepted("segment") == {"a"}
    best = edited(scores, "b/distilled", TEST, np.ones(USERS))
    assert best.accepted("segment") == {"a"}
    assert edited(scores, "a/distilled", VALIDATION, ranks).accepted("segment") == set()


def test_a_gain_that_may_be_a_loss_is_neither_accepted_nor_said_to_hold(scores: Scores) -> None:
    """Half of the deciding users gain .5, the others lose .43."""
    ranks = np.full(USERS, 3)
    deciding = MEMBERS["a"][~in_selection(MEMBERS["a"])]
    ranks[deciding] = 13
    ranks[deciding[: len(deciding) * 51 // 100 + 1]] = 1
    chancy = edited(scores, "a/distilled", VALIDATION, ranks)
    evidence = chancy.evidence("a", "a")
    assert evidence is not None and evidence.gain > 0 and evidence.p > 0.05
    assert chancy.accepted("segment") == set()
    figures = groups_outcome(chancy, {"a": 0.3, "b": 0.1}, "demo", "quick").figures
    assert figures["holds.segment"]["value"] == 0


@pytest.mark.parametrize(("users", "held"), [(39, set()), (40, {"a"})])
def test_fewer_users_than_the_gate_asks_for_accept_nobody(
    scores: Scores, users: int, held: set[str]
) -> None:
    few = MEMBERS["a"][~in_selection(MEMBERS["a"])][:users]
    assert replace(scores, members={**MEMBERS, "a": few}).accepted("segment") == held


def test_groups_are_accepted_together(scores: Scores, monkeypatch: pytest.MonkeyPatch) -> None:
    """A p-value of .03 is sure enough for one group, and for neither of two (Holm)."""
    monkeypatch.setattr(Evidence, "p", 0.03)
    assert scores.holding("segment").keys() == set()
    alone = replace(scores, members={"a": MEMBERS["a"]})
    assert alone.accepted("segment") == {"a"}


def test_the_worst_served_group_is_chosen_on_validation(scores: Scores) -> None:
    general = np.where(np.arange(USERS) < 100, 3, 4)  # b is served worse, on validation alone
    chosen = edited(scores, "general/distilled", VALIDATION, general)
    chosen = edited(chosen, "general/distilled", TEST, general[::-1])
    figures = groups_outcome(chosen, {"a": 0.3, "b": 0.1}, "demo", "quick").figures
    assert figures["gain.segment.worst_served"] == figures["gain.segment.b"]
    assert figures["gain.segment.worst_served"] != figures["gain.segment.a"]


def test_a_group_differs_from_all_others_and_not_from_everybody(make_sequences: Any) -> None:
    sequences = make_sequences([[1, 1, 9, 9]] * 3 + [[2, 2, 9, 9]] * 3)
    members = {"a": np.arange(3), "b": np.arange(3, 6), "half": np.array([0, 3])}
    assert differences(sequences, members) == pytest.approx({"a": 1.0, "b": 1.0, "half": 0.0})


def test_gains_are_relative_to_general_and_stand_for_each_group(figures: dict[str, Any]) -> None:
    assert figures["gain.segment.a"]["value"] == pytest.approx(1.0)
    assert figures["gain.segment.b"]["value"] == pytest.approx(-1.0)
    assert figures["gain.segment.mean_of_groups"]["value"] == pytest.approx(0.0)
    assert figures["gain.adapters.a"]["value"] == pytest.approx(0.5)
    assert figures[f"gain.adapters.{ALL}"]["value"] == pytest.approx(0.25)
    assert figures["gain.segment.with_difference"]["value"] == pytest.approx(1.0)


def test_a_group_whose_student_holds_and_costs_less_is_counted(figures: dict[str, Any]) -> None:
    assert figures["holds.segment"]["value"] == 1
    assert figures["cheaper.segment"]["value"] == 0
    assert figures["multiply_adds.fewer.narrow"]["value"] == 10


def test_the_family_is_what_the_gate_releases(scores: Scores, figures: dict[str, Any]) -> None:
    quality = family(scores, TEST)
    assert (quality[0][0], quality[150][0]) == (1.0, 0.5)
    assert figures["family.ndcg@10"]["value"] == pytest.approx(0.75)
    assert figures["family.retention"]["value"] == pytest.approx(0.75)
    assert figures["family.bytes.fewer"] == {"value": 2.5, "low": None, "high": None, "n": 2}


def test_distillation_is_compared_with_the_same_student_without_the_teacher(
    figures: dict[str, Any],
) -> None:
    assert figures["distillation.general.gain"]["value"] == 0
    assert figures["distillation.general.gap_closed"]["value"] == 0
    assert "distillation.attributes.gain" in figures


def test_every_variant_stands_in_the_table_and_in_the_protocol(scores: Scores) -> None:
    outcome = groups_outcome(scores, {"a": 0.3, "b": 0.1}, "demo", "quick")
    assert {line.split()[0] for line in outcome.shown.splitlines() if line} >= set(scores.variants)
    assert set(scores.variants) <= set(outcome.protocol)
    assert "<svg" in outcome.picture


def test_losses_are_compared_on_validation_and_nothing_of_test_is_read() -> None:
    comparison = compare_losses(PARAMS)
    scores = made_up(comparison, PARAMS)
    for model in [key for key in scores.cases if key[1] == TEST]:
        del scores.cases[model]
    outcome = losses_outcome(scores, "demo", "quick")
    assert outcome.figures["soft_7.gain"]["value"] == 0
    assert {"hard", "items"} <= {line.split()[0] for line in outcome.shown.splitlines()}


def test_a_gain_is_paired_by_user() -> None:
    ours, theirs = {1: (0.5, 1.0), 2: (1.0, 1.0), 3: (1.0, 1.0)}, {1: (0.5, 1.0), 2: (0.5, 1.0)}
    gain = relative_gain(ours, theirs)
    assert (gain["value"], gain["n"]) == (0.5, 2)
