"""A made-up run whose figures are known: women gain by a student of their own, men do not."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from decant.evaluation.baselines import NAMES
from decant.evaluation.metrics import hit, ndcg
from decant.params.models import Student
from decant.params.release import Evaluate, Gate
from decant.release.gate import judge
from decant.report.evidence import Evidence, Origin, gather
from decant.report.scores import Scores, read_scores

USERS, CATALOGUE, K, SEED = 90, 20, 10, 3
GATE = Gate(resamples=300, min_deciding_users=5)
WINDOWS = {"validation": 0, "test": 2}  # each user's cases: two positions
STUDENTS = {
    "general": Student(init="teacher"),
    "women": Student(init="general", where="gender == 'F'", priority=2),
    "men": Student(init="general", where="gender == 'M' and age < 35", priority=1),
}
MEMBERS = {
    "general": np.arange(60, 90, dtype=np.int32),
    "women": np.arange(0, 30, dtype=np.int32),
    "men": np.arange(30, 60, dtype=np.int32),
}
HOPS = ("distilled", "pruned", "int8")
COSTS = {"teacher": (1_000_000, 2000.0), "distilled": (200_000, 400.0), "pruned": (150_000, 300.0)}


@dataclass(frozen=True)
class Run:
    """What the stages before the report made."""

    metrics: dict[str, Any]
    verdict: dict[str, Any]
    cases: pd.DataFrame
    top: dict[str, np.ndarray]
    hops: dict[str, dict[str, Any]]
    origin: Origin
    students: dict[str, Student]
    evaluation: Evaluate

    def scores(self) -> Scores:
        return read_scores(self.cases, self.verdict, MEMBERS, self.evaluation, SEED)

    def evidence(self) -> Evidence:
        return gather(
            metrics=self.metrics,
            verdict=self.verdict,
            cases=self.cases,
            top=self.top,
            members=MEMBERS,
            hops=self.hops,
            students=self.students,
            origin=self.origin,
            evaluation=self.evaluation,
            gate=GATE,
            seed=SEED,
        )

    def change(self, **changes: Any) -> "Run":
        return replace(self, **changes)


@pytest.fixture
def run(finished: Run) -> Run:
    """A run that passes its gate; the women's student is accepted, the men's is not."""
    return copy.deepcopy(finished)


@pytest.fixture(scope="session")
def finished() -> Run:
    """The run that every test changes a copy of."""
    models = [*NAMES, "teacher", "oracle"]
    models += [f"{student}/{hop}" for student in STUDENTS for hop in HOPS]
    cases = pd.concat([case_rows(name) for name in models], ignore_index=True)
    evaluation = Evaluate(k=K, resamples=200)
    metrics = make_metrics(cases, models)
    hops = {name: make_hops(metrics, name) for name in STUDENTS}
    verdict = judge(metrics, cases, MEMBERS, [], hops, GATE, evaluation, SEED)
    top = {name: np.tile(np.arange(1, K + 1), (2 * USERS, 1)) for name in models}
    top["women/int8"] = top["women/int8"] + CATALOGUE - K
    return Run(metrics, verdict, cases, top, hops, make_origin(), STUDENTS, evaluation)


def case_rows(model: str) -> pd.DataFrame:
    """Two cases per user and window; each model ranks the target at a place of its own."""
    parts = []
    for window, first in WINDOWS.items():
        users = np.repeat(np.arange(USERS), 2)
        ranks = base_rank(model) + (users + np.tile([0, 1], USERS)) % 3
        if model.startswith("women/"):
            ranks = ranks - np.isin(users, MEMBERS["women"])
        if model.startswith("men/"):
            ranks = ranks + np.isin(users, MEMBERS["men"])
        rows = {"user": users, "position": first + np.tile([0, 1], USERS), "rank": ranks}
        parts.append(pd.DataFrame({"model": model, "window": window, **rows}))
    return pd.concat(parts)


def base_rank(model: str) -> int:
    """Best place that a model gives a target."""
    places = {"oracle": 1, "teacher": 2, "markov": 4, "popularity": 15}
    return places.get(model, 2 if "/" in model else 6)


def make_metrics(cases: pd.DataFrame, models: list[str]) -> dict[str, Any]:
    """As `evaluate` makes them, of these cases."""
    groups = {"all": np.arange(USERS), **MEMBERS}
    result: dict[str, Any] = {
        model: {w: by_group(cases, model, w, groups) for w in WINDOWS} for model in models
    }
    for model in models:
        hop = model.split("/")[-1]
        if hop == "teacher" or "/" in model:
            size, latency = COSTS.get(hop, (50_000, 200.0))
            result[model] |= {"bytes": size, "latency_us": {"p50": latency, "p95": 2 * latency}}
            result[model]["multiply_adds"] = 10 * size
    result["women/int8"] |= {"bytes": 60_000}
    return {
        "k": K,
        "catalogue": CATALOGUE,
        "groups": {
            name: {
                "users": len(users),
                "validation_cases": 2 * len(users),
                "test_cases": 2 * len(users),
            }
            for name, users in groups.items()
        },
        "models": result,
        "protocol": {
            "source": "demo",
            "split": {"method": "time", "validation": 0.1, "test": 0.1, "cases_per_user": 2},
            "exclude_seen": True,
            "catalogue": CATALOGUE,
            "ranked": "whole catalogue",
            "ties": "against the model",
            "k": K,
            "seed": SEED,
        },
    }


def by_group(
    cases: pd.DataFrame, model: str, window: str, groups: dict[str, np.ndarray]
) -> dict[str, dict[str, float]]:
    """All metrics of one model on each group."""
    rows = cases[(cases["model"] == model) & (cases["window"] == window)]
    result = {}
    for name, users in groups.items():
        ranks = rows.loc[rows["user"].isin(users), "rank"].to_numpy()
        hits = float(hit(ranks, K).mean())
        result[name] = {"ndcg": float(ndcg(ranks, K).mean()), "hr": hits, "recall": hits}
        result[name] |= {"precision": hits / K, "coverage": 0.5, "popularity": 0.01}
    return result


def make_hops(metrics: dict[str, Any], student: str) -> dict[str, Any]:
    """As `compress` tells them; the men's quantisation was not taken."""
    quality = metrics["models"][f"{student}/int8"]["validation"]["all"]["ndcg"]
    taken = student != "men"
    return {
        "allowed": 0.96,
        "distilled": {"ndcg": quality},
        "pruned": {
            "ndcg": quality,
            "taken": True,
            "heads_kept": 1.0,
            "hidden_kept": 0.5,
            "parameters": 4321,
        },
        "int8": {"ndcg": quality, "taken": taken, "weights": "int8" if taken else "float32"},
    }


def make_origin() -> Origin:
    """Summaries of the stages that made the data."""
    account = {"rows_in": 103, "accepted": 100, "quarantined": 2, "duplicates": 1, "set_aside": 0}
    bad = {"no user": 2}
    users = {**account, "reasons": {}, "left_out": {"impossible age": 7}}
    return Origin(
        validated={
            "bad_share": 0.0194,
            "events": {**account, "reasons": bad, "logs": {"views": {**account, "reasons": bad}}},
            "users": users,
            "items": {**account, "reasons": {}, "left_out": {}},
            "left": {
                "events": 100,
                "users": 90,
                "items": 20,
                "first_time": 1_772_323_340.0,
                "last_time": 1_780_099_983.0,
            },
            "unparsed": {"events.time": 5},
            "expectations": [
                {
                    "bounds": {},
                    "checked": 103,
                    "column": "user",
                    "expectation": "ExpectColumnValuesToNotBeNull",
                    "reason": "no user",
                    "table": "events",
                    "unexpected": 2,
                }
            ],
        },
        features={
            "after_merging": 95,
            "attributes": {"age": 4, "gender": 2},
            "behaviours": ["view"],
            "events": 100,
            "events_per_user": {"median": 2.0, "longest": 9},
            "items": 20,
            "split": "time",
            "test_events": 10,
            "training_events": 80,
            "users": 90,
            "validation_events": 10,
        },
        segments={"folded": [], "rules": {}, "users": {}},
    )


@pytest.fixture
def merged(run: Run) -> Run:
    """The same run with too few men for a student of their own."""
    for hop in HOPS:
        del run.metrics["models"][f"men/{hop}"]
    run.verdict["segments"]["men"] |= {
        "reason": "merged into general", "gain": None, "lower_bound": None,
        "test": None,
    }  # fmt: skip
    return run.change(
        cases=run.cases[~run.cases["model"].str.startswith("men/")],
        hops={name: steps for name, steps in run.hops.items() if name != "men"},
        origin=replace(run.origin, segments={"folded": ["men"]}),
    )


@pytest.fixture
def without() -> Callable[[Any, str], Any]:
    """Remove every key of a name, at any depth."""

    def remove(content: Any, key: str) -> Any:
        if isinstance(content, dict):
            return {k: remove(v, key) for k, v in content.items() if k != key}
        return content

    return remove
