"""Ranges are read strictly; what is drawn lies in them and is the same each time."""

from collections.abc import Callable
from typing import Any

import optuna
import pytest

from decant.params.load import ParamsError, parse_params
from decant.params.models import Training
from decant.params.search import Tune
from decant.tuning import space
from decant.tuning.plan import Plan

RATE = {"low": 1e-4, "high": 1e-2, "log": True}


def problem(**tune: Any) -> str:
    with pytest.raises(ParamsError) as caught:
        parse_params({"tune": tune})
    (told,) = caught.value.problems
    assert "\n" not in told
    return told


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("dropot", {"low": 0, "high": 1}, "searched; did you mean `dropout`?"),
        ("threads", {"low": 1, "high": 2}, "no setting of teacher that can be searched"),
        ("soft_weight", {"low": 0, "high": 1}, "no setting of teacher that can be searched"),
        ("dropout", {"low": 0.0, "high": 1.5}, "1.5 is not allowed: Input should be less than 1"),
        ("dimension", {"choices": [16, 4]}, "4 is not allowed: Input should be greater"),
        ("layers", {"low": 1.5, "high": 3}, "1.5 is not allowed: Input should be a valid integer"),
        ("inputs", {"choices": [["item", "a b"]]}, "['item', 'a b'] is not allowed"),
        ("inputs", {"low": 1, "high": 2}, "1 is not allowed"),
        ("precision", {"low": 1, "high": 2}, "no setting of teacher"),
        ("processes", {"low": 1, "high": 2}, "no setting of teacher"),
        ("dropout", {"low": 0.4, "high": 0.4}, "low 0.4 is not below high 0.4"),
        ("dropout", {"low": 0.0, "high": 0.4, "log": True}, "low 0.0 must be above 0 with log"),
        ("learning_rate", {**RATE, "step": 1e-3}, "log and step do not go together"),
        ("dropout", {"low": 0.1}, "give low and high, or choices"),
        ("dropout", {"low": 0.1, "high": 0.2, "choices": [0.1]}, "give choices alone"),
    ],
)
def test_a_wrong_range_is_one_line_that_says_what_is_allowed(
    name: str, given: Any, told: str
) -> None:
    said = problem(space={name: given})
    assert f"space.{name}" in said and told in said


def test_a_range_has_no_other_keys() -> None:
    said = problem(space={"dropout": {"lo": 0.1, "high": 0.2}})
    assert said == "unknown key `tune.space.dropout.lo`; did you mean `low`?"
    assert "at least 1 item" in problem(space={"dropout": {"choices": []}})


def test_what_was_read_can_be_written_and_read_again() -> None:
    params = parse_params({"tune": {"space": {"dimension": {"choices": [16]}, "dropout": RATE}}})
    assert parse_params(params.model_dump(mode="json", by_alias=True)) == params


def test_a_grid_needs_steps() -> None:
    told = "space.dropout: a grid needs a step or choices"
    assert told in problem(method="grid", space={"dropout": {"low": 0.0, "high": 0.4}})
    whole = {"low": 1, "high": 16, "log": True}
    assert "a grid needs" in problem(method="grid", space={"layers": whole})


def test_epochs_are_searched_or_given() -> None:
    told = problem(epochs=2, space={"epochs": {"low": 1, "high": 3}})
    assert "space.epochs has no effect beside tune.epochs" in told


def test_a_student_is_searched_in_one_fold_and_by_what_matters_to_general() -> None:
    assert "set folds: 1 for stage: distill" in problem(stage="distill", folds=2)
    told = problem(stage="distill", folds=1, space={"anchor": {"low": 0.0, "high": 1.0}})
    assert "space.anchor: no setting of distill" in told
    parse_params({"tune": {"stage": "distill", "folds": 1, "space": {"soft_weight": RATE}}})


def test_a_grid_is_every_combination() -> None:
    tune = Tune.model_validate(
        {
            "method": "grid",
            "space": {
                "layers": {"low": 1, "high": 3},
                "dropout": {"low": 0.0, "high": 0.3, "step": 0.1},
                "inputs": {"choices": [["item"], ["item", "text"]]},
            },
        }
    )
    points = list(space.grid(tune))
    assert len(points) == space.grid_size(tune) == 3 * 4 * 2
    assert {p["layers"] for p in points} == {1, 2, 3}
    assert {p["dropout"] for p in points} == {0.0, 0.1, 0.2, 0.3}
    assert space.size(tune.model_copy(update={"trials": 5})) == 5
    assert space.size(tune.model_copy(update={"trials": 500})) == 24


def drawn(plan: Plan, seed: int, numbers: range) -> list[space.Chosen]:
    study = optuna.create_study()
    found = []
    for number in numbers:
        study.sampler = space.sampler(plan.tune, number, seed)
        found.append(space.draw(study.ask(), plan.tune))
    return found


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_what_is_drawn_depends_on_the_seed_and_the_trials_number(
    make_plan: Callable[..., Plan], method: str
) -> None:
    plan = make_plan(method=method)
    all_of_them = drawn(plan, 1, range(1, 9))
    assert drawn(plan, 1, range(4, 9)) == all_of_them[3:]  # as after an interruption
    assert drawn(plan, 2, range(1, 9)) != all_of_them
    assert len({str(point) for point in all_of_them}) > 4
    for point in all_of_them:
        assert space.contains(plan.tune, point)
        assert Training(**{"heads": 2, **point})
        assert len(str(point["learning_rate"]).strip("0.")) <= 6  # a number that a person can read


def test_whole_numbers_are_drawn_whole(make_plan: Callable[..., Plan]) -> None:
    sizes = {"low": 8, "high": 64, "log": True}
    plan = make_plan(space={"layers": {"low": 1, "high": 4}, "batch_size": sizes})
    for point in drawn(plan, 1, range(1, 9)):
        assert all(isinstance(value, int) for value in point.values())


@pytest.mark.parametrize(
    ("name", "given", "inside", "outside"),
    [
        ("dropout", {"low": 0.1, "high": 0.5}, 0.35, 0.05),
        ("dropout", {"low": 0.1, "high": 0.5, "step": 0.2}, 0.3, 0.4),
        ("dimension", {"choices": [16, 64]}, 64, 32),
    ],
)
def test_a_point_is_in_the_space_or_not(
    name: str, given: Any, inside: float, outside: float
) -> None:
    tune = Tune.model_validate({"space": {name: given}})
    assert space.contains(tune, {name: inside})
    assert not space.contains(tune, {name: outside})
