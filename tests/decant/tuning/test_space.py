"""Ranges are read strictly; what is drawn lies in them and is the same each time."""

from collections.abc import Callable
from typing import Any

import optuna
import pytest

from decant.params.load import ParamsError, parse_params
from decant.params.search import Tune
from decant.tuning import space
from decant.tuning.space import CURRENT, Plan

RATE = {"low": 1e-4, "high": 1e-2, "log": True}


def problem(**tune: Any) -> str:
    with pytest.raises(ParamsError) as caught:
        parse_params({"tune": tune})
    (line,) = caught.value.problems
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("name", "setting", "expected"),
    [
        (
            "dropot",
            {"low": 0, "high": 1},
            "not a searchable setting of teacher; did you mean `dropout`?",
        ),
        ("threads", {"low": 1, "high": 2}, "not a searchable setting of teacher"),
        ("soft_weight", {"low": 0, "high": 1}, "not a searchable setting of teacher"),
        ("dropout", {"low": 0.0, "high": 1.5}, "1.5 is not allowed: Input should be less than 1"),
        ("dimension", {"choices": [16, 4]}, "4 is not allowed: Input should be greater"),
        ("layers", {"low": 1.5, "high": 3}, "1.5 is not allowed: Input should be a valid integer"),
        ("inputs", {"choices": [["item", "a b"]]}, "['item', 'a b'] is not allowed"),
        ("inputs", {"low": 1, "high": 2}, "1 is not allowed"),
        ("precision", {"low": 1, "high": 2}, "not a searchable setting of teacher"),
        ("processes", {"low": 1, "high": 2}, "not a searchable setting of teacher"),
        ("dropout", {"low": 0.4, "high": 0.4}, "low 0.4 is not below high 0.4"),
        ("dropout", {"low": 0.0, "high": 0.4, "log": True}, "low 0.0 must be above 0 with log"),
        ("learning_rate", {**RATE, "step": 1e-3}, "log and step cannot be combined"),
        ("dropout", {"low": 0.1}, "set low and high, or choices"),
        ("dropout", {"low": 0.1, "high": 0.2, "choices": [0.1]}, "set choices alone"),
    ],
)
def test_a_wrong_range_is_one_line_that_says_what_is_allowed(
    name: str, setting: Any, expected: str
) -> None:
    line = problem(space={name: setting})
    assert f"space.{name}" in line and expected in line


def test_a_range_has_no_other_keys() -> None:
    line = problem(space={"dropout": {"lo": 0.1, "high": 0.2}})
    assert line == "unknown key `tune.space.dropout.lo`; did you mean `low`?"
    assert "at least 1 item" in problem(space={"dropout": {"choices": []}})


def test_what_was_read_can_be_written_and_read_again() -> None:
    params = parse_params({"tune": {"space": {"dimension": {"choices": [16]}, "dropout": RATE}}})
    assert parse_params(params.model_dump(mode="json", by_alias=True)) == params


def test_a_grid_needs_steps() -> None:
    expected = "space.dropout: a grid needs a step or choices"
    assert expected in problem(method="grid", space={"dropout": {"low": 0.0, "high": 0.4}})
    whole = {"low": 1, "high": 16, "log": True}
    assert "a grid needs" in problem(method="grid", space={"layers": whole})


def test_epochs_are_searched_or_given() -> None:
    line = problem(epochs=2, space={"epochs": {"low": 1, "high": 3}})
    assert "space.epochs conflicts with tune.epochs" in line


def test_a_student_is_searched_in_one_fold_and_by_what_matters_to_general() -> None:
    assert "set folds: 1 for stage: distill" in problem(stage="distill", folds=2)
    line = problem(stage="distill", folds=1, space={"l2_sp": {"low": 0.0, "high": 1.0}})
    assert "space.l2_sp: not a searchable setting of distill" in line
    parse_params({"tune": {"stage": "distill", "folds": 1, "space": {"soft_weight": RATE}}})


def test_a_grid_is_every_combination_once_in_an_order_of_each_seed(
    make_plan: Callable[..., Plan],
) -> None:
    grid = {
        "layers": {"low": 1, "high": 3},
        "dropout": {"low": 0.0, "high": 0.3, "step": 0.1},
        "inputs": {"choices": [["item"], ["item", "text"]]},
    }

    def points(seed: int) -> list[str]:
        plan = make_plan(method="grid", trials=500, space=grid, seed=seed)
        assert plan.total == 1 + 3 * 4 * 2
        stored = [space.preset(plan, number) for number in range(1, plan.total)]
        return [str(space.decode(plan.tune, point)) for point in stored]

    assert len(set(points(1))) == 24
    assert sorted(points(1)) == sorted(points(2)) and points(1) != points(2)
    assert str({"layers": 3, "dropout": 0.3, "inputs": ["item"]}) in points(1)
    assert make_plan(method="grid", trials=5, space=grid).total == 6


def drawn(plan: Plan, numbers: range) -> list[space.Settings]:
    study, points = optuna.create_study(), []
    for number in numbers:
        study.sampler = space.sampler(plan, number)
        trial = study.ask(space.distributions(plan.tune))
        points.append(space.decode(plan.tune, trial.params))
    return points


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_a_draw_depends_on_the_seed_and_the_trials_number(
    make_plan: Callable[..., Plan], method: str
) -> None:
    plan = make_plan(method=method, seed=1)
    points = drawn(plan, range(1, 9))
    assert drawn(plan, range(4, 9)) == points[3:]  # as after an interruption
    assert drawn(make_plan(method=method, seed=2), range(1, 9)) != points
    assert len({str(point) for point in points}) > 4
    for point in points:
        assert space.contains(plan.tune, point)
        assert plan.block_with(point).heads == 2
        assert len(str(point["learning_rate"]).strip("0.")) <= 6  # a number that a person can read
    assert space.preset(plan, 1) == {}


def test_whole_numbers_are_drawn_whole(make_plan: Callable[..., Plan]) -> None:
    sizes = {"low": 8, "high": 64, "log": True}
    plan = make_plan(space={"layers": {"low": 1, "high": 4}, "batch_size": sizes})
    for point in drawn(plan, range(1, 9)):
        assert all(isinstance(value, int) for value in point.values())


def test_a_draw_that_is_rounded_stays_in_its_range(make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(space={"dropout": {"low": 0.12344, "high": 0.45674}})
    ends = [space.decode(plan.tune, {"dropout": end}) for end in (0.12344, 0.45674)]
    assert ends == [{"dropout": 0.12344}, {"dropout": 0.45674}]


@pytest.mark.parametrize(
    ("name", "setting", "inside", "outside"),
    [
        ("dropout", {"low": 0.1, "high": 0.5}, 0.35, 0.05),
        ("dropout", {"low": 0.1, "high": 0.5, "step": 0.2}, 0.3, 0.4),
        ("dimension", {"choices": [16, 64]}, 64, 32),
        ("layers", {"low": 1, "high": 3}, 2, 4),
        ("inputs", {"choices": [["item"], ["item", "text"]]}, ["item", "text"], ["text"]),
    ],
)
def test_a_point_is_in_the_space_or_not(name: str, setting: Any, inside: Any, outside: Any) -> None:
    tune = Tune.model_validate({"space": {name: setting}})
    assert space.contains(tune, {name: inside})
    assert not space.contains(tune, {name: outside})


def test_the_current_settings_are_preset_where_the_space_has_them(
    make_plan: Callable[..., Plan],
) -> None:
    ranges = {
        "dropout": {"low": 0.0, "high": 0.5},
        "inputs": {"choices": [["item"], ["item", "text"]]},
    }
    plan = make_plan({"inputs": ["item", "text"]}, space=ranges)
    assert space.preset(plan, CURRENT) == {"dropout": 0.4, "inputs": '["item", "text"]'}
    assert space.preset(make_plan({"dropout": 0.7}, space=ranges), CURRENT) == {}


def test_a_trial_has_the_epochs_of_the_search() -> None:
    tune = {"stage": "distill", "folds": 1, "epochs": 2, "space": {"dropout": {"choices": [0.1]}}}
    params = parse_params({"seed": 5, "distill": {"epochs": 9, "dropout": 0.3}, "tune": tune})
    plan = Plan.from_params(params)
    assert (plan.block.epochs, plan.seed, plan.current) == (2, 5, {"dropout": 0.3})
    assert plan.block_with({"dropout": 0.1}).dropout == 0.1
    longer = params.tune.model_copy(update={"epochs": None})
    assert Plan.from_params(params.model_copy(update={"tune": longer})).block.epochs == 9
