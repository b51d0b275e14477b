"""The report's step: data/ in, one page and its figures out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from decant.evaluation.baselines import NAMES
from decant.evaluation.metrics import hit, ndcg
from decant.files import write_json
from decant.params.load import load_params
from decant.release.gate import judge
from tasks.report import describe, run
from tasks.runner.step import Workspace, run_step

REPOSITORY = Path(__file__).resolve().parents[2]
PARAMS = """
students:
  general: {init: teacher}
  women: {init: general, where: "gender == 'F'"}
evaluate: {resamples: 100}
gate: {min_deciding_users: 5}
"""
USERS = 40
MEMBERS = {"women": np.arange(20, dtype=np.int32), "general": np.arange(20, 40, dtype=np.int32)}
PLACES = {"teacher": 1, "general": 3, "women": 2}  # where each ranks every target; others: 5
MODELS = [*NAMES, "teacher", *(f"{s}/{h}" for s in MEMBERS for h in ("distilled", "int8"))]
SUMMARIES = ("validated", "features", "segments", "compressed/general", "compressed/women")
LEARNED = {"losses": [3.0, 2.0], "ndcg": [0.1, 0.2]}
TABLES = {
    "models.csv": ["model", "ndcg", "hr"],
    "groups.csv": ["group", "ndcg", "hr"],
    "learning.csv": ["epoch", "loss", "ndcg"],
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A workspace in which every stage before the report has run."""
    data = tmp_path / "data"
    for name in ("evaluation", "gate", "models/teacher", *SUMMARIES):
        (data / name).mkdir(parents=True)
    (tmp_path / "params.yaml").write_text(PARAMS)
    params = load_params(tmp_path / "params.yaml")
    cases = pd.concat([case_rows(model, w) for model in MODELS for w in ("validation", "test")])
    metrics = make_metrics()
    hops = {
        s: {"distilled": {"ndcg": 0.5}, "int8": {"ndcg": 0.5}, "allowed": 0.96} for s in MEMBERS
    }
    verdict = judge(metrics, cases, MEMBERS, [], hops, params.gate, params.evaluate, params.seed)
    cases.to_parquet(data / "evaluation/cases.parquet", index=False)
    np.savez_compressed(
        data / "evaluation/top.npz", **{m: np.ones((USERS, 10), np.int32) for m in MODELS}
    )
    write_json(data / "evaluation/metrics.json", metrics)
    write_json(data / "gate/verdict.json", verdict)
    for name in SUMMARIES:
        student = name.removeprefix("compressed/")
        write_json(data / name / "summary.json", {"hops": hops[student]} if student in hops else {})
    write_json(data / "models/teacher/summary.json", LEARNED)
    np.save(data / "segments/women.npy", MEMBERS["women"])
    np.save(data / "segments/_served_by_general.npy", MEMBERS["general"])
    return tmp_path


def rank(model: str) -> int:
    return PLACES.get(model.split("/")[0], 5)


def case_rows(model: str, window: str) -> pd.DataFrame:
    rows = {"user": np.arange(USERS), "position": 7, "rank": rank(model)}
    return pd.DataFrame({"model": model, "window": window, **rows})


def make_metrics() -> dict[str, Any]:
    groups = {"all": USERS, **{name: len(users) for name, users in MEMBERS.items()}}
    models: dict[str, Any] = {}
    for model in MODELS:
        place = np.array([rank(model)])
        quality = {"ndcg": float(ndcg(place, 10)[0]), "hr": float(hit(place, 10)[0])}
        models[model] = {w: dict.fromkeys(groups, quality) for w in ("validation", "test")}
        if model not in NAMES:
            cost = 100_000 if model == "teacher" else 10_000
            models[model] |= {"bytes": cost, "latency_us": {"p50": cost / 100, "p95": cost / 50}}
    sizes = {g: {"users": n, "validation_cases": n, "test_cases": n} for g, n in groups.items()}
    return {"k": 10, "catalogue": 50, "groups": sizes, "models": models, "protocol": {}}


def step(root: Path) -> dict[str, Any]:
    return run_step(run, Workspace(root, load_params(root / "params.yaml")), describe)


def test_the_page_and_its_figures_are_written(shop: Path) -> None:
    summary = step(shop)
    folder = shop / "data/report"
    assert {path.name for path in folder.iterdir()} == {
        "index.html", "metrics.json", "summary.json", "summary.md", *TABLES
    }  # fmt: skip
    assert json.loads((folder / "summary.json").read_text()) == summary
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") and page.endswith("</html>\n")
    assert summary["figures"]["size.ratio"]["value"] == 10
    assert summary["figures"]["family.ndcg@10"]["value"] == pytest.approx(
        (ndcg(np.array([2]), 10)[0] + ndcg(np.array([3]), 10)[0]) / 2
    )


def test_a_second_run_gives_the_same_bytes(shop: Path) -> None:
    step(shop)
    first = {p.name: p.read_bytes() for p in (shop / "data/report").iterdir()}
    step(shop)
    assert {p.name: p.read_bytes() for p in (shop / "data/report").iterdir()} == first


def test_what_dvc_yaml_names_for_dvcs_commands_is_there(shop: Path) -> None:
    step(shop)
    graph = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))
    assert graph["metrics"] == ["data/report/metrics.json"]
    metrics = json.loads((shop / "data/report/metrics.json").read_text())
    assert list(metrics["test"]) == ["best_traditional", "family", "general", "teacher", "women"]
    for plot in graph["plots"]:
        [definition] = plot.values()
        [(place, column)] = definition["y"].items()
        table = pd.read_csv(shop / place)
        assert list(table.columns) == TABLES[Path(place).name]
        assert {column, definition["x"]} <= {*table.columns} and len(table)


def test_every_artifact_of_dvc_yaml_is_what_a_stage_makes() -> None:
    graph = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))
    made = [out for stage in graph["stages"].values() for out in stage.get("outs", [])]
    assert {artifact["path"] for artifact in graph["artifacts"].values()} <= {
        out for out in made if isinstance(out, str)
    }


def test_a_failed_verdict_is_shown_and_the_step_succeeds(shop: Path) -> None:
    path = shop / "data/gate/verdict.json"
    verdict = json.loads(path.read_text())
    verdict["passed"] = verdict["checks"][0]["passed"] = False
    write_json(path, verdict)
    summary = step(shop)
    assert summary["passed"] is False
    assert describe(summary).startswith("**Failed.** The family must not be released")
    assert "verdict failed" in (shop / "data/report/index.html").read_text(encoding="utf-8")


def test_a_person_is_told_the_figures_with_their_intervals(shop: Path) -> None:
    text = describe(step(shop))
    assert "| size.ratio | 10.0000 |  |" in text
    assert "| teacher.ndcg@10 | 1.0000 | 1.0000 to 1.0000 |" in text


@pytest.mark.parametrize(
    "missing",
    [
        "evaluation/metrics.json",
        "evaluation/cases.parquet",
        "evaluation/top.npz",
        "gate/verdict.json",
        "validated/summary.json",
        "features/summary.json",
        "segments/summary.json",
        "compressed/women/summary.json",
        "models/teacher/summary.json",
    ],
)
def test_a_missing_input_is_named_and_nothing_is_written(shop: Path, missing: str) -> None:
    (shop / "data" / missing).unlink()
    with pytest.raises(FileNotFoundError, match=missing.rpartition("/")[2]):
        step(shop)
    assert not (shop / "data/report").exists()


def test_nothing_but_the_listed_files_is_read(shop: Path) -> None:
    result = {str(p.relative_to(shop / "data")) for p in (shop / "data").rglob("*") if p.is_file()}
    assert result == {
        "evaluation/metrics.json",
        "evaluation/cases.parquet",
        "evaluation/top.npz",
        "gate/verdict.json",
        "validated/summary.json",
        "features/summary.json",
        "segments/summary.json",
        "segments/women.npy",
        "segments/_served_by_general.npy",
        "compressed/general/summary.json",
        "compressed/women/summary.json",
        "models/teacher/summary.json",
    }
    step(shop)
