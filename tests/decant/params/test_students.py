"""Students: groups and variants, settings of their own, and what cannot be."""

from typing import Any

import pytest

from decant.params.load import Params, ParamsError, parse_params
from decant.params.students import folded_students, in_waves

WOMEN, MEN = "gender == 'F'", "gender == 'M'"
FAMILY: dict[str, dict[str, Any]] = {
    "general": {"init": "teacher"},
    "women": {"init": "general", "where": WOMEN, "priority": 10},
    "men": {"init": "general", "where": MEN, "priority": 10},
}


def params(**students: dict[str, Any]) -> Params:
    return parse_params({"students": {**FAMILY, **students}})


def problem(**students: dict[str, Any]) -> str:
    with pytest.raises(ParamsError) as caught:
        params(**students)
    return caught.value.problems[0]


def test_students_of_one_rule_are_variants_of_the_one_with_the_highest_priority() -> None:
    family = params(
        narrow={"init": None, "where": "gender   ==  'F'", "overrides": {"dimension": 32}},
        scratch={"init": None, "where": WOMEN, "priority": 20, "labels": "hard"},
    )
    assert list(family.segments) == ["scratch", "men"]
    assert family.variants == {"women": "scratch", "narrow": "scratch"}


def test_students_without_a_rule_are_variants_of_general() -> None:
    assert params(undistilled={"init": None, "labels": "hard"}).variants == {
        "undistilled": "general"
    }
    assert params().variants == {}


def test_a_student_has_the_settings_of_distill_and_its_own_in_their_place() -> None:
    family = params(narrow={"init": None, "overrides": {"dimension": 32, "dropout": 0.3}})
    own = family.settings_of("narrow")
    assert (own.dimension, own.dropout) == (32, 0.3)
    changed = {"dimension": 32, "dropout": 0.3}
    assert own == family.distill.model_copy(update=changed)
    assert family.settings_of("women") is family.distill


@pytest.mark.parametrize(
    ("student", "message"),
    [
        (
            {"init": None, "overrides": {"dimensoin": 32}},
            "no setting `dimensoin` that can differ between students; did you mean `dimension`?",
        ),
        (
            {"init": None, "overrides": {"threads": 2}},
            "students.x.overrides: no setting `threads` that can differ",
        ),
        (
            {"init": None, "overrides": {"dimension": 0}},
            "`students.x.overrides.dimension`: Input should be greater than or equal to 8",
        ),
        (
            {"init": None, "overrides": {"dimension": 33, "heads": 2}},
            "`students.x.overrides`: dimension 33 is not a multiple of heads 2",
        ),
        (
            {"init": None, "overrides": {"soft_weight": 0.7, "rce_kd_weight": 0.6}},
            "students.x.overrides: soft_weight, rce_kd_weight and stratified_weight are shares",
        ),
        (
            {"init": "general", "overrides": {"dimension": 32}},
            "students.x starts from `general`, so its dimension must be 64, not 32",
        ),
        (
            {"init": None, "overrides": {"inputs": ["item", "txt"]}},
            "students.x.overrides.inputs: no input `txt`; did you mean `text`?",
        ),
        ({"init": "x"}, "students.x.init forms a cycle: x → x"),
        ({"init": "wmen"}, "students.x.init: no model `wmen`; did you mean `women`?"),
        (
            {"init": "general", "where": WOMEN, "priority": 10},
            "students.women and students.x have the same rule and priority",
        ),
        ({"init": None, "labels": "none"}, "`students.x.labels`: Input should be 'soft' or 'hard'"),
    ],
)
def test_a_student_that_cannot_be_is_an_error_that_names_it(
    student: dict[str, Any], message: str
) -> None:
    assert message in problem(x=student)


def test_a_student_cannot_read_more_than_the_one_it_starts_from() -> None:
    short = {"init": None, "overrides": {"max_length": 10}}
    assert "which reads 10 events" in problem(short=short, x={"init": "short"})
    params(short=short, x={"init": "short", "overrides": {"max_length": 5}})


def test_a_circle_of_students_is_refused() -> None:
    assert "forms a cycle: a → b → a" in problem(a={"init": "b"}, b={"init": "a"})


def test_hard_labels_need_no_knowledge() -> None:
    own = {"states_weight": 0.5}
    assert "knowledge.states" in problem(x={"init": None, "overrides": own})
    params(x={"init": None, "labels": "hard", "overrides": own})


def test_a_wave_starts_from_models_of_the_waves_before_it() -> None:
    family = params(x={"init": "women"}, y={"init": None})
    assert in_waves(family.students) == [["general", "y"], ["women", "men"], ["x"]]


def test_a_student_of_too_few_users_is_folded_and_so_is_one_that_starts_from_it() -> None:
    family = params(x={"init": "women", "where": "age > 3"}, y={"init": "men"})
    users = {"general": 5, "women": 9, "men": 10, "x": 50, "y": 5}
    assert folded_students(family.students, users, 10) == ["women", "x"]
