"""Figures of a data set's runs, one per seed, from outputs as the stages write them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from benchmarks.experiments import data_sets
from benchmarks.experiments.data_sets import (
    FinishedRun,
    NotDoneError,
    bench,
    lift,
    outcome_of,
    prepare,
    read_run,
    run_graph,
    with_interval,
)
from benchmarks.harness.checkout import Clone, Ended, Shown
from decant.evaluation.metrics import ndcg
from decant.features.sequences import TEST, VALIDATION

REPOSITORY = Path(__file__).resolve().parents[3]
PARAMS = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
USERS = 40
WOMEN = np.arange(0, USERS, 2)
MODELS = ("teacher", "markov", "hybrid", "general/int8", "women/int8", "general/distilled")


def ranks(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 15, USERS)


def write_run(root: Path, seed: int, *, ships: bool = True) -> None:
    """Outputs of a run with one case per user; the ranks of a model differ between seeds."""
    tables = [
        pd.DataFrame(
            {
                "model": model, "window": window, "user": np.arange(USERS),
                "position": np.arange(USERS), "rank": ranks(100 * seed + number),
            }
        )
        for number, model in enumerate(MODELS)
        for window in ("validation", "test")
    ]  # fmt: skip
    for folder in ("evaluation", "gate", "segments", "models/teacher"):
        (root / "data" / folder).mkdir(parents=True, exist_ok=True)
    pd.concat(tables).to_parquet(root / "data/evaluation/cases.parquet")
    np.save(root / "data/segments/women.npy", WOMEN)
    verdict = {"best_baseline": "hybrid", "segments": {"women": {"ships": ships}}}
    metrics = {"k": 10, "catalogue": 50, "groups": {"all": {"users": USERS}}}
    for name, content in (
        ("gate/verdict", verdict),
        ("evaluation/metrics", metrics),
        ("models/teacher/summary", {"parameters": 7}),
    ):
        (root / f"data/{name}.json").write_text(json.dumps(content))


@pytest.fixture
def runs(tmp_path: Path) -> dict[int, FinishedRun]:
    finished = {}
    for seed in (7, 8):
        write_run(tmp_path, seed)
        finished[seed] = read_run(tmp_path)
    return finished


def mean(seed: int, model: str) -> float:
    return float(ndcg(ranks(100 * seed + MODELS.index(model)), 10).mean())


def test_a_teacher_is_the_mean_of_its_seeds_and_its_spread_is_theirs(
    runs: dict[int, FinishedRun],
) -> None:
    figures = outcome_of(runs, PARAMS, "movielens-1m", "full", TEST).figures
    each = [mean(seed, "teacher") for seed in (7, 8)]
    assert figures["teacher.ndcg@10"]["value"] == pytest.approx(np.mean(each))
    assert figures["teacher.ndcg@10.spread"]["value"] == pytest.approx(np.std(each, ddof=1))
    assert figures["teacher.seed.8.ndcg@10"]["value"] == pytest.approx(each[1])


def test_the_family_serves_each_user_by_the_student_of_their_group(
    runs: dict[int, FinishedRun],
) -> None:
    figures = outcome_of(runs, PARAMS, "movielens-1m", "full", TEST).figures
    values = ndcg(ranks(700 + MODELS.index("general/int8")), 10)
    values[WOMEN] = ndcg(ranks(700 + MODELS.index("women/int8")), 10)[WOMEN]
    assert figures["family.seed.7.ndcg@10"]["value"] == pytest.approx(values.mean())
    assert figures["accepted.seed.7"]["value"] == 1
    share = figures["family.ndcg@10"]["value"] / figures["teacher.ndcg@10"]["value"]
    assert figures["family.retention"]["value"] == pytest.approx(share)


@pytest.mark.parametrize(
    ("protocol", "shown"),
    [("p1", "movielens-1m, protocol p1, 50 items"), (None, "movielens-1m, 50")],
)
def test_the_page_names_the_protocol(
    runs: dict[int, FinishedRun], protocol: str | None, shown: str
) -> None:
    params = {**PARAMS, "ingest": {**PARAMS["ingest"], "protocol": protocol}}
    assert outcome_of(runs, params, "movielens-1m", "full", TEST).protocol["data"].startswith(shown)


@pytest.mark.parametrize(("protocol", "groups"), [("p1", None), (None, "activity")])
def test_the_clone_is_configured_with_protocol_and_groups_or_with_those_of_the_preset(
    tmp_path: Path, protocol: str | None, groups: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def configured(clone: Clone, *arguments: str) -> Ended:
        asked.append(arguments)
        return Ended(0, "", 0.0)

    monkeypatch.setattr(Clone, "decant", configured)
    clone = Clone(tmp_path)
    prepare(clone, print, "movielens-1m", None, "ids", protocol=protocol, groups=groups)
    options = (f"--protocol={protocol or 'none'}", f"--groups={groups or 'preset'}")
    assert asked == [("configure", "--source=movielens-1m", "--profile=ids", *options)]


def test_a_student_that_is_not_accepted_serves_nobody(tmp_path: Path) -> None:
    write_run(tmp_path, 7, ships=False)
    figures = outcome_of({7: read_run(tmp_path)}, PARAMS, "demo", "full", TEST).figures
    assert figures["family.ndcg@10"]["value"] == pytest.approx(mean(7, "general/int8"))


def test_the_bar_is_the_traditional_model_that_the_gate_takes(
    runs: dict[int, FinishedRun],
) -> None:
    outcome = outcome_of(runs, PARAMS, "movielens-1m", "full", TEST)
    assert outcome.protocol["best traditional model"] == "hybrid"
    assert outcome.protocol["class"].startswith("order: ")
    bar = outcome.figures["baseline.best.ndcg@10"]["value"]
    assert bar == outcome.figures["baseline.hybrid.ndcg@10"]["value"]
    for model in ("teacher", "family"):
        ours = outcome.figures[f"{model}.ndcg@10"]["value"]
        assert outcome.figures[f"{model}.lift"]["value"] == pytest.approx(ours / bar - 1)


def test_every_model_stands_in_the_table_best_first(runs: dict[int, FinishedRun]) -> None:
    lines = outcome_of(runs, PARAMS, "movielens-1m", "full", TEST).shown.splitlines()[1:]
    shown = [float(line.split()[1]) for line in lines]
    assert shown == sorted(shown, reverse=True)
    names = {line.split()[0] for line in lines}
    assert names >= {"teacher", "family", "baseline.markov", "baseline.hybrid"}
    assert not [name for name in names if "general" in name]


def test_on_validation_nothing_of_test_is_read(tmp_path: Path) -> None:
    write_run(tmp_path, 7)
    run = read_run(tmp_path)
    validation = {key: rows for key, rows in run.ranks.items() if key[1] == VALIDATION}
    alone = replace(run, ranks=validation)
    outcome = outcome_of({7: alone}, PARAMS, "movielens-1m", "full", VALIDATION)
    assert outcome.shown.startswith("validation window")
    assert outcome.protocol["window"].startswith("validation, with the users that epochs")
    assert outcome.figures["family.retention"]["n"] == USERS
    assert not [name for name in outcome.figures if "validation" in name]


def test_the_records_of_trainings_are_kept_for_each_seed(tmp_path: Path) -> None:
    write_run(tmp_path, 7)
    folder = tmp_path / "data/training"
    for name, trainings in (("teacher", 1), ("merged", 0)):
        (folder / name).mkdir(parents=True)
        record = {"seconds": 12.5, "trainings": trainings}
        (folder / name / "record.json").write_text(json.dumps(record))
    outcome = outcome_of({7: read_run(tmp_path)}, PARAMS, "movielens-1m", "full", TEST)
    assert outcome.trained == {"teacher.seed.7": {"seconds": 12.5, "trainings": 1}}


def test_one_seed_has_no_spread(runs: dict[int, FinishedRun]) -> None:
    figures = outcome_of({7: runs[7]}, PARAMS, "movielens-1m", "full", TEST).figures
    assert not [name for name in figures if "spread" in name]


def test_each_seed_is_a_run_of_the_flow_with_that_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").write_bytes((REPOSITORY / "params.yaml").read_bytes())
    seeds: list[int] = []

    def flow(project: Clone, minutes: float | None, window: str) -> None:
        seeds.append(project.read("params.yaml")["seed"])
        write_run(project.root, seeds[-1])

    monkeypatch.setattr(data_sets, "prepare", lambda *given, **options: None)
    monkeypatch.setattr(data_sets, "run_graph", flow)
    outcome = bench(
        Clone(tmp_path), print, source="demo", given=None, profile="full", seeds=3, minutes=None,
        window=TEST,
    )  # fmt: skip
    assert seeds == outcome.seeds == [7, 8, 9]
    assert outcome.figures["teacher.seed.9.ndcg@10"]["value"] == pytest.approx(mean(9, "teacher"))


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


def test_a_flow_that_has_not_reached_the_gate_is_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float | None] = []

    hidden: list[bool] = []

    def show(
        self: Clone, *arguments: str, minutes: float | None = None, shown: Shown | None = None
    ) -> int:
        asked.append(minutes)
        hidden.append(shown is not None and not shown("10:00:00 evaluate: teacher: test .5"))
        return 1

    said = ["gate is stale", "Data and pipelines are up to date."]
    monkeypatch.setattr(Clone, "show", show)
    monkeypatch.setattr(Clone, "run", lambda self, *arguments: Ended(0, said.pop(0), 0.0))
    with pytest.raises(NotDoneError, match="ended with status 1, see above; .* the same command"):
        run_graph(Clone(tmp_path), 5.0, VALIDATION)
    run_graph(Clone(tmp_path), None, TEST)  # the gate's verdict does not matter
    assert asked == [5.0, None]
    assert hidden == [True, False]


def test_without_time_left_nothing_is_started(tmp_path: Path) -> None:
    with pytest.raises(NotDoneError, match="time is up"):
        run_graph(Clone(tmp_path), 0.0, TEST)
