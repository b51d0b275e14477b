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
from decant.features.sequences import TEST, VALIDATION
from decant.params.load import Params, parse_params
from decant.params.types import TEACHER

USERS = 200
MEMBERS = {"a": np.arange(100), "b": np.arange(100, 200)}
PARAMS = parse_params(
    {
        "students": {
            "general": {"init": "teacher"},
            "a": {"init": "general", "where": "group == 'a'", "priority": 5},
            "b": {"init": "general", "where": "group == 'b'", "priority": 5},
        }
    }
)
BETTER = {"a": slice(0, 100), "a_adapters": slice(0, 50)}  # rank 1 instead of 3 for these users
SURE = {"ships": True, "p": 0.001, "level": 0.025}
EQUAL = {"ships": False, "p": 0.001, "level": 0.025}
WORSE = {"ships": False, "p": 0.9, "level": 0.05}
FEW = {"ships": False, "p": 0.001, "level": None}
JUDGED = {
    "adapters": {"a": SURE, "b": SURE},
    "scratch": {"b": EQUAL},
    "prior": {"a": FEW, "b": FEW},
}
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
    verdict = {"passed": True, "segments": {"a": SURE, "b": WORSE}, "variants": {}}
    for variant, students in comparison.groups.items():
        for group, student in students.items():
            verdict["variants"][student] = JUDGED.get(variant, {}).get(group, WORSE)  # type: ignore[index]
    metrics = {"models": figures, "catalogue": 20, "k": 10}
    members = MEMBERS if comparison.groups else {}
    return Scores(comparison, params, cases, metrics, verdict, trained, members, 10)


@pytest.fixture(scope="module")
def scores() -> Scores:
    return made_up(compare_groups(PARAMS), PARAMS)


@pytest.fixture(scope="module")
def figures(scores: Scores) -> dict[str, Any]:
    return dict(groups_outcome(scores, {"a": 0.3, "b": 0.1}, "demo", "quick", TEST).figures)


def test_a_variant_for_groups_serves_each_group_by_its_own_student(scores: Scores) -> None:
    served = scores.served("segment", TEST)
    assert (served[0][0], served[150][0]) == (1.0, 0.0)
    partly = scores.served("segment", TEST, {"a"})
    assert (partly[0][0], partly[150][0]) == (1.0, 0.5)


def test_what_the_gate_accepts_counts_as_accepted(scores: Scores) -> None:
    assert scores.accepted("segment") == {"a"}
    assert scores.accepted("adapters") == {"a", "b"}
    assert scores.accepted("scratch") == set()


def test_a_student_holds_if_a_loss_of_the_margin_is_excluded_gain_or_not(scores: Scores) -> None:
    assert scores.holds("segment") == {"a"}
    assert scores.holds("scratch") == {"b"}  # non-inferior, and no better
    assert scores.holds("prior") == set()  # too few to decide


def edited(scores: Scores, model: str, window: str, ranks: np.ndarray) -> Scores:
    """The scores with other ranks of one model, for all users."""
    table = pd.DataFrame({"user": np.arange(USERS), "rank": ranks})
    return replace(scores, cases={**scores.cases, (model, window): table})


def test_the_worst_served_group_is_chosen_on_validation(scores: Scores) -> None:
    general = np.where(np.arange(USERS) < 100, 3, 4)  # b is served worse, on validation alone
    chosen = edited(scores, "general/distilled", VALIDATION, general)
    chosen = edited(chosen, "general/distilled", TEST, general[::-1])
    figures = groups_outcome(chosen, {"a": 0.3, "b": 0.1}, "demo", "quick", TEST).figures
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


def test_the_gain_of_what_is_accepted_stands_beside_the_gain_of_all(
    scores: Scores, figures: dict[str, Any]
) -> None:
    """b loses everything under its own student, which the gate rejects."""
    assert figures[f"gain.segment.{ALL}"]["value"] == pytest.approx(0.0)
    assert figures["accepted.segment.gain"]["value"] == pytest.approx(0.5)
    assert figures["accepted.scratch.gain"]["value"] == 0.0
    shown = groups_outcome(scores, {"a": 0.3, "b": 0.1}, "demo", "quick", TEST).shown
    (line,) = [line for line in shown.splitlines() if line.startswith("segment ")][:1]
    assert "+50.0 %" in line


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
    outcome = groups_outcome(scores, {"a": 0.3, "b": 0.1}, "demo", "quick", TEST)
    assert {line.split()[0] for line in outcome.shown.splitlines() if line} >= set(scores.variants)
    assert set(scores.variants) <= set(outcome.protocol)
    assert "<svg" in outcome.picture


def without_test(scores: Scores) -> Scores:
    return replace(scores, cases={key: v for key, v in scores.cases.items() if key[1] != TEST})


def test_groups_are_compared_on_validation_without_a_look_at_test(scores: Scores) -> None:
    difference = {"a": 0.3, "b": 0.1}
    outcome = groups_outcome(without_test(scores), difference, "demo", "quick", VALIDATION)
    assert outcome.shown.startswith("validation window")
    assert outcome.figures["gain.segment.a"]["value"] == pytest.approx(1.0)
    assert "gate.passed" not in outcome.figures


def test_losses_are_compared_on_validation_and_nothing_of_test_is_read() -> None:
    comparison = compare_losses(PARAMS)
    scores = without_test(made_up(comparison, PARAMS))
    outcome = losses_outcome(scores, "demo", "quick")
    assert outcome.figures["soft_7.gain"]["value"] == 0
    assert {"hard", "items"} <= {line.split()[0] for line in outcome.shown.splitlines()}


def test_a_gain_is_paired_by_user() -> None:
    ours, theirs = {1: (0.5, 1.0), 2: (1.0, 1.0), 3: (1.0, 1.0)}, {1: (0.5, 1.0), 2: (0.5, 1.0)}
    gain = relative_gain(ours, theirs)
    assert (gain["value"], gain["n"]) == (0.5, 2)
