"""The gate fails closed: for each of its checks, a test that it can fail."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pandas as pd
import pytest

from decant.evaluation.baselines import HYBRID, NAMES
from decant.evaluation.lookup import figure
from decant.features.holdout import in_selection
from decant.features.sequences import TEST, VALIDATION
from decant.params.release import Evaluate, Gate
from decant.release.checks import at_least, best_baseline
from decant.release.gate import judge

USERS = 240
EVALUATION = Evaluate(k=10)
THRESHOLDS = Gate(
    margin=0.01, min_retention=0.9, min_lift=0.1, min_size_ratio=4, min_latency_ratio=2
)
MEMBERS = {
    "general": np.arange(0, 80),
    "women": np.arange(80, 160),
    "men": np.arange(160, 240),
}
Edit = Callable[[Any], None]


def ranks_of(model: str, rng: np.random.Generator) -> np.ndarray:
    """women's own student is better for women, men's worse for men."""
    ranks = rng.integers(1, 4, USERS)
    if model == "women/int8":
        ranks[80:160] = np.maximum(ranks[80:160] - 1, 1)
    if model == "men/int8":
        ranks[160:] += 1
    return ranks


@pytest.fixture
def cases() -> pd.DataFrame:
    """One case per user, window and released model."""
    tables = []
    for model in ("general/int8", "women/int8", "men/int8"):
        for window in (VALIDATION, TEST):
            rng = np.random.default_rng(0)
            columns = {"model": model, "window": window, "user": np.arange(USERS)}
            tables.append(pd.DataFrame({**columns, "position": 0, "rank": ranks_of(model, rng)}))
    return pd.concat(tables, ignore_index=True)


def model(ndcg: float, size: int, p50: float) -> dict[str, Any]:
    figures = {window: {"all": {"ndcg": ndcg}} for window in (VALIDATION, TEST)}
    return {**figures, "bytes": size, "latency_us": {"p50": p50, "p95": 2 * p50}}


@pytest.fixture
def metrics() -> dict[str, Any]:
    students = {f"{name}/int8": model(0.6, 100, 10.0) for name in MEMBERS}
    baselines = {name: model(0.3, 0, 0) for name in NAMES}
    baselines["item_knn"] = model(0.4, 0, 0)
    return {"models": {"teacher": model(0.7, 1000, 100.0), **students, **baselines}}


@pytest.fixture
def hops() -> dict[str, Any]:
    hop = {"distilled": {"ndcg": 0.5}, "int8": {"ndcg": 0.49}, "allowed": 0.96}
    return {name: deepcopy(hop) for name in MEMBERS}


Judge = Callable[..., dict[str, Any]]


@pytest.fixture
def verdict(metrics: dict[str, Any], cases: pd.DataFrame, hops: dict[str, Any]) -> Judge:
    def run(**changes: Any) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "metrics": metrics,
            "cases": cases,
            "members": MEMBERS,
            "folded": [],
            "hops": hops,
            "thresholds": THRESHOLDS,
            "evaluation": EVALUATION,
            "seed": 0,
        }
        return judge(**{**arguments, **changes})

    return run


def failed(verdict: dict[str, Any]) -> set[str]:
    assert verdict["passed"] is all(check["passed"] for check in verdict["checks"])
    return {check["name"] for check in verdict["checks"] if not check["passed"]}


def stricter(**changes: float) -> Gate:
    return THRESHOLDS.model_copy(update=changes)


def test_a_good_family_passes(verdict: Judge) -> None:
    result = verdict()
    assert failed(result) == set()
    assert result["passed"] is True
    assert {check["name"] for check in result["checks"]} == {
        "retention", "lift", "cases.general", "cases.men", "cases.women",
        "compression.general", "compression.women", "size_ratio", "latency_ratio",
    }  # fmt: skip


def test_a_segment_that_gains_ships_and_one_that_loses_does_not(verdict: Judge) -> None:
    segments = verdict()["segments"]
    assert segments["women"]["ships"] is True
    assert segments["women"]["gain"] > 0.1
    assert segments["men"]["ships"] is False
    assert segments["men"]["reason"] == "not better than general on validation"


def test_a_segment_whose_student_is_too_large_is_served_by_general(
    verdict: Judge, metrics: dict[str, Any]
) -> None:
    metrics["models"]["women/int8"]["bytes"] = 300
    result = verdict()
    assert result["segments"]["women"]["ships"] is False
    assert result["segments"]["women"]["reason"] == "too large: 1/3.3 of the teacher, 1/4 allowed"
    assert failed(result) == set()


def test_the_family_is_served_by_who_ships(verdict: Judge, cases: pd.DataFrame) -> None:
    result = verdict()["family"][VALIDATION]
    expected = {}
    for group, by in (("general", "general"), ("women", "women"), ("men", "general")):
        rows = cases[(cases["model"] == f"{by}/int8") & (cases["window"] == VALIDATION)]
        ranks = rows[rows["user"].isin(MEMBERS[group])]["rank"]
        expected[group] = float((1 / np.log2(ranks + 1)).mean())
        assert result[group]["ndcg"] == pytest.approx(expected[group])
        assert result[group]["cases"] == 80
    assert result["all"]["ndcg"] == pytest.approx(np.mean(list(expected.values())))
    assert result["all"]["hr"] == 1.0


@pytest.mark.parametrize(
    ("thresholds", "check"),
    [
        (stricter(min_retention=1.5), "retention"),
        (stricter(min_lift=5.0), "lift"),
        (stricter(min_size_ratio=11), "size_ratio"),
        (stricter(min_latency_ratio=11), "latency_ratio"),
    ],
)
def test_a_figure_below_its_threshold_fails(verdict: Judge, thresholds: Gate, check: str) -> None:
    assert failed(verdict(thresholds=thresholds)) == {check}


def remove_model(name: str) -> Edit:
    return lambda metrics: metrics["models"].pop(name)


def remove_figure(name: str, *path: str) -> Edit:
    def edit(metrics: Any) -> None:
        content = metrics["models"][name]
        for key in path[:-1]:
            content = content[key]
        del content[path[-1]]

    return edit


def spoil(name: str, value: Any, *path: str) -> Edit:
    def edit(metrics: Any) -> None:
        content = metrics["models"][name]
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = value

    return edit


NDCG = (VALIDATION, "all", "ndcg")
P50 = ("latency_us", "p50")


@pytest.mark.parametrize(
    ("edit", "checks"),
    [
        (remove_model("teacher"), {"retention", "size_ratio", "latency_ratio"}),
        (remove_figure("teacher", *NDCG), {"retention"}),
        (spoil("teacher", float("nan"), *NDCG), {"retention"}),
        (spoil("teacher", 0.0, *NDCG), {"retention"}),
        (spoil("teacher", "0.7", *NDCG), {"retention"}),
        (spoil("teacher", True, *NDCG), {"retention"}),
        (spoil("teacher", None, VALIDATION), {"retention"}),
        (remove_model("popularity"), {"lift"}),
        (remove_figure("item_knn", VALIDATION), {"lift"}),
        (spoil("item_knn", float("nan"), *NDCG), {"lift"}),
        (remove_figure("teacher", "bytes"), {"size_ratio"}),
        (remove_figure("general/int8", "bytes"), {"size_ratio"}),
        (remove_figure("women/int8", "bytes"), {"size_ratio"}),
        (spoil("general/int8", 300, "bytes"), {"size_ratio"}),
        (spoil("general/int8", 0, "bytes"), set()),
        (remove_figure("teacher", *P50), {"latency_ratio"}),
        (remove_figure("general/int8", "latency_us"), {"latency_ratio"}),
        (spoil("women/int8", float("inf"), *P50), {"latency_ratio"}),
        (spoil("women/int8", 60.0, *P50), {"latency_ratio"}),
        (
            lambda metrics: metrics.pop("models"),
            {"retention", "lift", "size_ratio", "latency_ratio"},
        ),
    ],
)
def test_a_figure_that_is_missing_or_no_number_fails(
    verdict: Judge, metrics: dict[str, Any], edit: Edit, checks: set[str]
) -> None:
    edit(metrics)
    assert failed(verdict()) == checks


def test_what_does_not_ship_costs_nothing(verdict: Judge, metrics: dict[str, Any]) -> None:
    spoil("men/int8", 10**9, "bytes")(metrics)
    assert failed(verdict()) == set()


@pytest.mark.parametrize(
    "edit",
    [
        lambda hops: hops["women"]["int8"].update(ndcg=0.4),
        lambda hops: hops["women"]["int8"].pop("ndcg"),
        lambda hops: hops["women"]["distilled"].update(ndcg=0.0),
        lambda hops: hops["women"].pop("distilled"),
        lambda hops: hops["women"].pop("allowed"),
        lambda hops: hops["women"].update(allowed=float("nan")),
        lambda hops: hops.pop("women"),
    ],
)
def test_a_hop_that_lost_too_much_or_was_not_measured_fails(
    verdict: Judge, hops: dict[str, Any], edit: Edit
) -> None:
    edit(hops)
    assert failed(verdict()) == {"compression.women"}


def test_a_group_without_cases_fails(verdict: Judge, cases: pd.DataFrame) -> None:
    rows = cases[(cases["window"] == TEST) | ~cases["user"].isin(MEMBERS["men"])]
    assert failed(verdict(cases=rows)) == {"cases.men"}


def test_a_group_without_users_fails(verdict: Judge) -> None:
    nobody = np.zeros(0, dtype=int)
    assert failed(verdict(members={**MEMBERS, "men": nobody})) == {"cases.men"}


def test_general_may_be_left_without_users_by_the_segments(verdict: Judge) -> None:
    nobody = np.zeros(0, dtype=int)
    assert failed(verdict(members={**MEMBERS, "general": nobody})) == set()


def test_no_cases_at_all_fail_everything_about_quality(verdict: Judge, cases: pd.DataFrame) -> None:
    result = verdict(cases=cases[:0])
    groups = {"cases.general", "cases.women", "cases.men"}
    assert failed(result) == {"retention", "lift", *groups}
    assert not any(segment["ships"] for segment in result["segments"].values())


@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_threshold_that_is_absent_fails(value: float | None) -> None:
    check = at_least("size", 9.0, value, "what")
    assert not check.passed
    assert check.why == "what: no threshold"


@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_value_that_is_absent_fails(value: float | None) -> None:
    check = at_least("size", value, 0.0, "what")
    assert (check.passed, check.value, check.why) == (False, None, "what: not measured")


def test_a_value_that_reaches_the_threshold_passes() -> None:
    assert at_least("size", 5.0, 5.0, "what").passed
    assert not at_least("size", 4.999, 5.0, "what").passed


def set_ranks(
    cases: pd.DataFrame, name: str, window: str, users: np.ndarray, ranks: Any
) -> pd.DataFrame:
    """The cases with other ranks of one model."""
    edited = cases.copy()
    rows = (cases["model"] == name) & (cases["window"] == window) & cases["user"].isin(users)
    edited.loc[rows, "rank"] = ranks
    return edited


def test_the_test_window_changes_no_verdict(verdict: Judge, cases: pd.DataFrame) -> None:
    before = verdict()
    for rank in (1, 10**6):
        edited = cases.copy()
        edited.loc[edited["window"] == TEST, "rank"] = rank
        after = verdict(cases=edited)
        assert after["checks"] == before["checks"]
        for name, segment in after["segments"].items():
            assert {**segment, "test": None} == {**before["segments"][name], "test": None}
        assert after["family"][VALIDATION] == before["family"][VALIDATION]
        assert after["family"][TEST] != before["family"][TEST]


def test_users_who_picked_do_not_decide(verdict: Judge, cases: pd.DataFrame) -> None:
    women, men = MEMBERS["women"], MEMBERS["men"]
    edited = set_ranks(cases, "women/int8", VALIDATION, women[in_selection(women)], 10**6)
    edited = set_ranks(edited, "men/int8", VALIDATION, men[in_selection(men)], 1)
    assert verdict(cases=edited)["segments"] == verdict()["segments"]


def test_users_who_did_not_pick_decide(verdict: Judge, cases: pd.DataFrame) -> None:
    women = MEMBERS["women"]
    edited = set_ranks(cases, "women/int8", VALIDATION, women[~in_selection(women)], 10**6)
    assert verdict(cases=edited)["segments"]["women"]["ships"] is False


def test_users_of_another_group_do_not_decide(verdict: Judge, cases: pd.DataFrame) -> None:
    others = np.setdiff1d(np.arange(USERS), MEMBERS["women"])
    edited = set_ranks(cases, "women/int8", VALIDATION, others, 10**6)
    assert verdict(cases=edited)["segments"]["women"]["ships"] is True


def test_a_gain_ships_only_if_it_is_surely_no_loss_beyond_the_margin(
    verdict: Judge, cases: pd.DataFrame
) -> None:
    women = MEMBERS["women"]
    deciding = women[~in_selection(women)]
    few = len(deciding) * 3 // 10  # gain .37, the others lose .13
    edited = set_ranks(cases, "general/int8", VALIDATION, deciding, 2)
    edited = set_ranks(edited, "women/int8", VALIDATION, deciding[:few], 1)
    edited = set_ranks(edited, "women/int8", VALIDATION, deciding[few:], 3)
    wide, narrow = (
        verdict(cases=edited, thresholds=stricter(margin=margin))["segments"]["women"]
        for margin in (0.2, 0.0)
    )
    assert wide["gain"] == narrow["gain"] > 0 > narrow["lower_bound"] > -0.2
    assert (wide["ships"], narrow["ships"]) == (True, False)
    assert narrow["reason"] == "may lose more than 0.0"


def test_no_gain_does_not_ship(verdict: Judge, cases: pd.DataFrame) -> None:
    women = MEMBERS["women"]
    same = set_ranks(cases, "women/int8", VALIDATION, women, 2)
    same = set_ranks(same, "general/int8", VALIDATION, women, 2)
    result = verdict(cases=same, thresholds=stricter(margin=1.0))["segments"]["women"]
    assert (result["gain"], result["ships"]) == (0.0, False)


def test_a_segment_that_was_not_evaluated_does_not_ship(
    verdict: Judge, cases: pd.DataFrame
) -> None:
    result = verdict(cases=cases[cases["model"] != "women/int8"])["segments"]["women"]
    assert (result["ships"], result["reason"]) == (False, "no validation cases to decide on")


def test_a_segment_that_was_evaluated_on_other_users_does_not_ship(
    verdict: Judge, cases: pd.DataFrame
) -> None:
    rows = (cases["model"] != "women/int8") | (cases["user"] < 120)
    assert verdict(cases=cases[rows])["segments"]["women"]["ships"] is False


def test_a_folded_segment_is_generals_and_counted_once(verdict: Judge) -> None:
    members = {**MEMBERS, "general": np.r_[MEMBERS["general"], MEMBERS["women"]]}
    result = verdict(members=members, folded=["women"])
    assert result["segments"]["women"]["ships"] is False
    assert result["segments"]["women"]["reason"] == "merged into general"
    assert result["family"][VALIDATION]["all"]["cases"] == USERS
    assert failed(result) == set()


def test_a_folded_segment_without_cases_is_no_group_that_fails(
    verdict: Judge, cases: pd.DataFrame
) -> None:
    rows = cases[~cases["user"].isin(MEMBERS["men"])]
    assert failed(verdict(cases=rows, folded=["men"])) == set()


def test_the_bar_is_the_best_baseline_on_validation(metrics: dict[str, Any]) -> None:
    assert best_baseline(metrics) == "item_knn"
    metrics["models"]["popularity"][TEST]["all"]["ndcg"] = 0.9
    assert best_baseline(metrics) == "item_knn"
    metrics["models"]["popularity"][VALIDATION]["all"]["ndcg"] = 0.9
    assert best_baseline(metrics) == "popularity"


def test_the_hybrid_may_be_the_bar(metrics: dict[str, Any]) -> None:
    metrics["models"][HYBRID][VALIDATION]["all"]["ndcg"] = 0.9
    assert best_baseline(metrics) == HYBRID


@pytest.mark.parametrize("name", NAMES)
def test_without_one_baseline_there_is_no_bar_unless_it_was_left_out(
    metrics: dict[str, Any], name: str
) -> None:
    del metrics["models"][name]
    assert best_baseline(metrics) is None
    metrics["left_out"] = {name: "too many items"}
    assert best_baseline(metrics) is not None


def test_a_bar_of_no_baseline_is_none(metrics: dict[str, Any]) -> None:
    assert best_baseline({**metrics, "left_out": dict.fromkeys(NAMES, "why")}) is None


def test_the_same_evidence_gives_the_same_verdict(verdict: Judge) -> None:
    assert verdict() == verdict()


def test_figures_are_found_or_missing() -> None:
    content = {"a": {"b": 1}, "c": float("inf"), "d": False}
    assert figure(content, "a", "b") == 1.0
    for path in (("a", "x"), ("a", "b", "c"), ("c",), ("d",), ("a",), ("e",)):
        assert figure(content, *path) is None
