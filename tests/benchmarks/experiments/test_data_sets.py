"""What is told of a data set's teachers, from files as the training program writes them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks.experiments import data_sets
from benchmarks.experiments.data_sets import NotDoneError, lift, outcome_of, run, with_interval
from benchmarks.experiments.teachers import NOT_DONE, TEACHERS
from benchmarks.harness.checkout import Clone
from decant.evaluation.baselines import NAMES
from decant.evaluation.metrics import ndcg

REPOSITORY = Path(__file__).resolve().parents[3]
USERS = 40


def ranks_of(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        window: {"users": list(range(USERS)), "ranks": rng.integers(1, 15, USERS).tolist()}
        for window in ("validation", "test")
    }


@pytest.fixture
def project(tmp_path: Path) -> Clone:
    """A project in which two teachers and every traditional model were measured."""
    folder = tmp_path / TEACHERS
    folder.mkdir(parents=True)
    models = {name: ranks_of(number) for number, name in enumerate(NAMES, start=10)}
    quality = {
        n: {"validation": {"all": {"ndcg": number / 100}}, "test": {"all": {"ndcg": 0.9}}}
        for number, n in enumerate(NAMES)
    }
    metrics = {
        "k": 10, "catalogue": 50, "groups": {"all": {"users": USERS}}, "models": quality,
        "left_out": {},
    }  # fmt: skip
    facts = {"parameters": 7, "events": 100, "seconds": 4.0, "device": "CPU, 1 threads"}
    for name, content in {
        "baselines": {"metrics": metrics, "models": models},
        "seed-7": {**facts, **ranks_of(1)},
        "seed-8": {**facts, **ranks_of(2)},
        "ensemble": ranks_of(3),
    }.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "params.yaml").write_bytes((REPOSITORY / "params.yaml").read_bytes())
    return Clone(tmp_path)


def test_a_teacher_is_the_mean_of_its_seeds_and_its_spread_is_theirs(project: Clone) -> None:
    figures = outcome_of(project, [7, 8], "movielens-1m", "full").figures
    each = [ndcg(np.array(ranks_of(seed)["test"]["ranks"]), 10).mean() for seed in (1, 2)]
    assert figures["teacher.ndcg@10"]["value"] == pytest.approx(np.mean(each))
    assert figures["teacher.ndcg@10.spread"]["value"] == pytest.approx(np.std(each, ddof=1))
    assert figures["teacher.seed.7.ndcg@10"]["value"] == pytest.approx(each[0])
    assert figures["training.events_per_s"]["value"] == 25.0
    assert "teacher.ensemble.hr@10" in figures


def test_the_best_traditional_model_is_the_best_on_validation(project: Clone) -> None:
    outcome = outcome_of(project, [7, 8], "movielens-1m", "full")
    assert outcome.protocol["best traditional model"] == NAMES[-1]
    bar = outcome.figures["baseline.best.ndcg@10"]["value"]
    assert bar == outcome.figures[f"baseline.{NAMES[-1]}.ndcg@10"]["value"]
    ours = outcome.figures["teacher.ndcg@10"]["value"]
    assert outcome.figures["teacher.lift"]["value"] == pytest.approx(ours / bar - 1)


def test_every_model_stands_in_the_table_best_first(project: Clone) -> None:
    outcome = outcome_of(project, [7, 8], "movielens-1m", "full")
    lines = outcome.shown.splitlines()[1:]
    shown = [float(line.split()[1]) for line in lines]
    assert shown == sorted(shown, reverse=True)
    names = {line.split()[0] for line in lines}
    assert names >= {f"baseline.{n}" for n in NAMES} | {"teacher", "teacher.ensemble"}


def test_the_models_that_taught_the_teachers_stand_beside_them(project: Clone) -> None:
    params = yaml.safe_load((project.root / "params.yaml").read_text())
    params["teacher"]["ensemble"] = 2
    (project.root / "params.yaml").write_text(yaml.safe_dump(params))
    for name in ("alone-1", "alone-2", "alone"):
        (project.root / TEACHERS / f"{name}.json").write_text(json.dumps(ranks_of(4)))
    outcome = outcome_of(project, [7, 8], "movielens-1m", "full")
    value = ndcg(np.array(ranks_of(4)["test"]["ranks"]), 10).mean()
    for name in ("alone.1", "alone.2", "alone"):
        assert outcome.figures[f"teacher.{name}.ndcg@10"]["value"] == pytest.approx(value)
    assert outcome.protocol["alone"].startswith("2 ensemble members")


def test_one_seed_has_neither_spread_nor_ensemble(project: Clone) -> None:
    figures = outcome_of(project, [7], "movielens-1m", "full").figures
    assert not [name for name in figures if "spread" in name or "ensemble" in name]


def test_an_interval_holds_the_mean_and_is_narrower_with_more_users() -> None:
    rng = np.random.default_rng(0)
    few, many = (with_interval([rng.random(n)]) for n in (30, 3000))
    for figure in (few, many):
        assert figure["low"] is not None and figure["high"] is not None
        assert figure["low"] < figure["value"] < figure["high"]
    assert (many["high"] or 0) - (many["low"] or 0) < ((few["high"] or 0) - (few["low"] or 0)) / 4


def test_a_lift_over_itself_is_exactly_nothing() -> None:
    values = np.random.default_rng(0).random(50)
    result = lift([values], values)
    assert (result["value"], result["low"], result["high"]) == pytest.approx((0, 0, 0))


@pytest.mark.parametrize(
    ("status", "message"), [(NOT_DONE, "time is up; rerun the same command"), (1, "status 1")]
)
def test_a_program_that_is_not_done_is_told(
    project: Clone, monkeypatch: pytest.MonkeyPatch, status: int, message: str
) -> None:
    monkeypatch.setattr(data_sets.Clone, "show", lambda self, *arguments: status)
    with pytest.raises(NotDoneError, match=message):
        run(project, "7")
