"""The gate fails closed: for each of its checks, a test that it can fail."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from decant.evaluation.baselines import HYBRID, NAMES
from decant.evaluation.lookup import figure
from decant.features.holdout import in_selection
from decant.features.sequences import TEST, VALIDATION
from decant.files import readable
from decant.params.release import Evaluate, Gate
from decant.release import gate
from decant.release.checks import SMALL, at_least
from decant.release.gate import judge
from tasks.gate import describe

USERS = 240
EVALUATION = Evaluate(k=10)
THRESHOLDS = Gate(
    margin=0.02,
    min_deciding_users=20,
    resamples=1000,
    min_retention=0.9,
    min_group_retention=0.8,
    min_lift=0.1,
    min_size_ratio=4,
    min_latency_ratio=2,
)
STUDENTS = ("general", "women", "men")
MEMBERS = {
    "general": np.arange(0, 80),
    "women": np.arange(80, 160),
    "men": np.arange(160, 240),
}
Edit = Callable[[Any], None]


def ranks_of(model: str, rng: np.random.Generator) -> np.ndarray:
    """women's own student is better for women, men's worse for men; baselines are far behind."""
    ranks = rng.integers(1, 4, USERS)
    if model in NAMES:
        ranks += 4 if model == "item_knn" else 6
    if model == "women/int8":
        ranks[80:160] = np.maximum(ranks[80:160] - 1, 1)
    if model == "men/int8":
        ranks[160:] += 1
    return ranks


@pytest.fixture
def cases() -> pd.DataFrame:
    """One case per user, window and model."""
    tables = []
    hops = [f"{name}/{hop}" for name in STUDENTS for hop in ("distilled", "int8")]
    for model in ("teacher", *NAMES, *hops):
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
    return {name: {"allowed": 0.96} for name in MEMBERS}


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


def check_of(verdict: dict[str, Any], name: str) -> dict[str, Any]:
    (check,) = [check for check in verdict["checks"] if check["name"] == name]
    return dict(check)


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
        "population", "groups", "retention", "lift",
        "retention.general", "retention.men", "retention.women",
        "cases.general", "cases.men", "cases.women",
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
    ("thresholds", "checks"),
    [
        (stricter(min_retention=1.5), {"retention"}),
        (stricter(min_lift=5.0), {"lift"}),
        (stricter(min_group_retention=1.01), {"retention.general", "retention.men"}),
        (stricter(min_group_lift=5.0), {"lift.general", "lift.men", "lift.women"}),
        (stricter(min_size_ratio=11), {"size_ratio"}),
        (stricter(min_latency_ratio=11), {"latency_ratio"}),
    ],
)
def test_a_figure_below_its_threshold_fails(
    verdict: Judge, thresholds: Gate, checks: set[str]
) -> None:
    assert failed(verdict(thresholds=thresholds)) == checks


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
        (remove_model("teacher"), {"size_ratio", "latency_ratio"}),
        (remove_figure("teacher", "bytes"), {"size_ratio"}),
        (remove_figure("general/int8", "bytes"), {"size_ratio"}),
        (remove_figure("women/int8", "bytes"), {"size_ratio"}),
        (spoil("general/int8", 300, "bytes"), {"size_ratio"}),
        (spoil("general/int8", 0, "bytes"), {"size_ratio"}),
        (remove_figure("teacher", *P50), {"latency_ratio"}),
        (remove_figure("general/int8", "latency_us"), {"latency_ratio"}),
        (spoil("women/int8", float("inf"), *P50), {"latency_ratio"}),
        (spoil("women/int8", 60.0, *P50), {"latency_ratio"}),
        (lambda metrics: metrics.pop("models"), {"size_ratio", "latency_ratio"}),
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


def without(cases: pd.DataFrame, *models: str) -> pd.DataFrame:
    return cases[~cases["model"].isin(models)]


def test_without_the_teachers_ranks_everything_about_it_fails(
    verdict: Judge, cases: pd.DataFrame
) -> None:
    result = verdict(cases=without(cases, "teacher"))
    groups = {"retention.general", "retention.men", "retention.women"}
    assert failed(result) >= {"population", "retention"}
    assert failed(result) <= {"population", "retention", f"retention.{SMALL}", *groups}
    assert check_of(result, "population")["why"].endswith("teacher: no case was ranked")


def test_a_teacher_without_a_hit_is_no_bar(verdict: Judge, cases: pd.DataFrame) -> None:
    edited = set_ranks(cases, "teacher", VALIDATION, np.arange(USERS), 10**6)
    assert "retention" in failed(verdict(cases=edited))


def test_a_lift_is_relative_to_the_bar(verdict: Judge, cases: pd.DataFrame) -> None:
    edited = cases.copy()
    of_baselines = edited["model"].isin(NAMES) & (edited["window"] == VALIDATION)
    edited.loc[of_baselines, "rank"] = 2
    edited.loc[edited["model"].str.endswith("/int8"), "rank"] = 2  # as good as the bar
    for least, fails in ((0.0, False), (0.01, True)):
        result = verdict(cases=edited, thresholds=stricter(min_lift=least, min_retention=0.0))
        assert ("lift" in failed(result)) is fails
        assert check_of(result, "lift")["value"] == pytest.approx(0.0)


def test_a_family_at_a_tenth_of_the_bar_fails(verdict: Judge, cases: pd.DataFrame) -> None:
    edited = cases.copy()
    edited.loc[edited["model"].str.endswith("/int8"), "rank"] = 500
    thresholds = stricter(min_lift=0.0, min_retention=0.0, min_group_retention=0.0)
    assert "lift" in failed(verdict(cases=edited, thresholds=thresholds))


def test_a_bound_decides_not_the_figure_itself(verdict: Judge, cases: pd.DataFrame) -> None:
    check = check_of(verdict(), "retention")
    assert check["bound"] < check["value"]
    between = (check["bound"] + check["value"]) / 2
    result = verdict(thresholds=stricter(min_retention=between))
    assert "retention" in failed(result)
    assert check_of(result, "retention")["why"].endswith(" users are too few to show it")
    far = check_of(verdict(thresholds=stricter(min_retention=2.0)), "retention")
    assert far["why"].endswith(" users")
    below = check["bound"] - 1e-6
    assert "retention" not in failed(verdict(thresholds=stricter(min_retention=below)))


def lossy(cases: pd.DataFrame, student: str, share: float) -> pd.DataFrame:
    """The cases with a distilled student that was right for a share of the deciding users."""
    users = deciders(np.arange(USERS))
    right = users[: int(share * len(users))]
    return set_ranks(cases, f"{student}/distilled", VALIDATION, right, 1)


def test_general_must_surely_have_kept_its_quality_in_compression(
    verdict: Judge, cases: pd.DataFrame
) -> None:
    assert failed(verdict(cases=lossy(cases, "general", 0.02))) == set()
    result = verdict(cases=lossy(cases, "general", 0.08))
    check = check_of(result, "compression.general")
    assert check["bound"] < check["threshold"] < check["value"]
    assert failed(result) == {"compression.general"}


@pytest.mark.parametrize(
    "edit", [lambda h: h["general"].pop("allowed"), lambda h: h.pop("general")]
)
def test_a_hop_without_a_threshold_fails(verdict: Judge, hops: dict[str, Any], edit: Edit) -> None:
    edit(hops)
    assert failed(verdict()) == {"compression.general"}


def test_a_hop_that_was_not_measured_fails(verdict: Judge, cases: pd.DataFrame) -> None:
    result = verdict(cases=without(cases, "women/distilled"))
    assert failed(result) == {"population", "compression.women"}


def test_a_segments_student_that_surely_lost_too_much_in_compression_does_not_ship(
    verdict: Judge, cases: pd.DataFrame
) -> None:
    women = MEMBERS["women"]
    edited = set_ranks(cases, "general/int8", VALIDATION, women, 30)
    edited = set_ranks(edited, "women/distilled", VALIDATION, women, 1)
    edited = set_ranks(edited, "women/int8", VALIDATION, women, 2)
    segment = verdict(cases=edited)["segments"]["women"]
    assert segment["ships"] is False
    assert segment["reason"] == "lost 36.9% in compression, 4.0% allowed"
    barely = set_ranks(edited, "women/int8", VALIDATION, women[:-2], 1)
    assert verdict(cases=barely)["segments"]["women"]["ships"] is True


def test_a_group_without_cases_fails(verdict: Judge, cases: pd.DataFrame) -> None:
    rows = cases[(cases["window"] == TEST) | ~cases["user"].isin(MEMBERS["men"])]
    assert failed(verdict(cases=rows)) == {"cases.men"}


def test_a_group_without_users_fails(verdict: Judge) -> None:
    nobody = np.zeros(0, dtype=int)
    assert failed(verdict(members={**MEMBERS, "men": nobody})) == {"cases.men", "groups"}


def test_general_may_be_left_without_users_by_the_segments(verdict: Judge) -> None:
    members = {**MEMBERS, "women": np.arange(160), "general": np.zeros(0, dtype=int)}
    assert failed(verdict(members=members)) == set()


def test_no_cases_at_all_fail_everything_about_quality(verdict: Judge, cases: pd.DataFrame) -> None:
    result = verdict(cases=cases[:0])
    groups = {"cases.general", "cases.women", "cases.men"}
    assert failed(result) == {
        "population", "groups", "retention", "lift", f"retention.{SMALL}", "compression.general",
        *groups,
    }  # fmt: skip
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


def deciders(users: np.ndarray) -> np.ndarray:
    return users[~in_selection(users)]


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
    assert narrow["reason"] == "may lose more than 0.0% of general's NDCG"


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


def bar_of(verdict: Judge, cases: pd.DataFrame, **changes: Any) -> str | None:
    bar: str | None = verdict(cases=cases, **changes)["best_baseline"]
    return bar


def test_the_bar_is_the_best_baseline_for_the_deciding_users(
    verdict: Judge, cases: pd.DataFrame
) -> None:
    """Neither the selection half nor the test window raises another one to the bar."""
    assert bar_of(verdict, cases) == "item_knn"
    everybody = np.arange(USERS)
    edited = set_ranks(cases, "popularity", TEST, everybody, 1)
    edited = set_ranks(edited, "popularity", VALIDATION, everybody[in_selection(everybody)], 1)
    assert bar_of(verdict, edited) == "item_knn"
    edited = set_ranks(cases, "popularity", VALIDATION, deciders(everybody), 1)
    assert bar_of(verdict, edited) == "popularity"


def test_the_hybrid_may_be_the_bar(verdict: Judge, cases: pd.DataFrame) -> None:
    edited = set_ranks(cases, HYBRID, VALIDATION, np.arange(USERS), 1)
    assert bar_of(verdict, edited) == HYBRID


@pytest.mark.parametrize("name", NAMES)
def test_without_one_baseline_there_is_no_bar_unless_it_was_left_out(
    verdict: Judge, cases: pd.DataFrame, metrics: dict[str, Any], name: str
) -> None:
    del metrics["models"][name]
    rest = without(cases, name)
    result = verdict(cases=rest)
    assert result["best_baseline"] is None
    assert {"lift", "population"} <= failed(result)
    metrics["left_out"] = {name: "too many items"}
    assert bar_of(verdict, rest) is not None


def test_a_bar_of_no_baseline_is_none(
    verdict: Judge, cases: pd.DataFrame, metrics: dict[str, Any]
) -> None:
    for name in NAMES:
        del metrics["models"][name]
    metrics["left_out"] = dict.fromkeys(NAMES, "why")
    assert bar_of(verdict, without(cases, *NAMES)) is None


@pytest.mark.parametrize("where", ["metrics", "cases"])
def test_a_baseline_that_was_measured_is_never_left_out(
    verdict: Judge, cases: pd.DataFrame, metrics: dict[str, Any], where: str
) -> None:
    metrics["left_out"] = {"item_knn": "too many items"}
    if where == "cases":
        del metrics["models"]["item_knn"]
        assert bar_of(verdict, cases) == "item_knn"
    else:
        assert "population" in failed(verdict(cases=without(cases, "item_knn")))


def test_a_whole_shop_with_a_few_hits_is_too_few_to_decide(
    verdict: Judge, cases: pd.DataFrame
) -> None:
    """Four users are served better than by the teacher and the bar, nobody else has a hit."""
    few = deciders(MEMBERS["general"])[:4]
    edited = cases.assign(rank=10**6)
    for model in ("teacher", "general/distilled", "item_knn"):
        edited = set_ranks(edited, model, VALIDATION, few, 3)
    edited = set_ranks(edited, "general/int8", VALIDATION, few, 1)
    result = verdict(cases=edited)
    assert {"retention", "lift", f"retention.{SMALL}", "compression.general"} <= failed(result)
    assert "too few to decide, 4 users with a hit, of 20" in check_of(result, "retention")["why"]


def test_a_verdict_about_users_without_hits_is_json(verdict: Judge, cases: pd.DataFrame) -> None:
    """The bounds of their ratios are infinite."""
    women = MEMBERS["women"]
    edited = cases
    for model in ("teacher", "item_knn", "women/distilled"):
        edited = set_ranks(edited, model, VALIDATION, women, 10**6)
        edited = set_ranks(edited, model, VALIDATION, deciders(women)[:1], 1)
    result = verdict(cases=edited, thresholds=stricter(min_group_lift=-1.0))
    assert readable(result)
    assert result["groups"]["women"]["retention"]["upper_bound"] is None
    assert describe(result)


def test_the_summary_of_a_failed_gate_says_what_to_do(verdict: Judge) -> None:
    assert "- To do: a student is too expensive" in describe(
        verdict(thresholds=stricter(min_size_ratio=1e6))
    )
    passed = verdict()
    assert passed["passed"] and "To do" not in describe(passed)


def test_a_shipped_students_group_is_never_judged_by_general(
    verdict: Judge, cases: pd.DataFrame
) -> None:
    """Enough users tell own and general apart, too few have a hit by the family or the teacher."""
    users = deciders(MEMBERS["women"])
    edited = cases
    for model in ("women/int8", "women/distilled", "general/int8", "teacher"):
        edited = set_ranks(edited, model, VALIDATION, users, 10**6)
    edited = set_ranks(edited, "general/int8", VALIDATION, users[20:30], 10)
    for model in ("women/int8", "women/distilled"):
        edited = set_ranks(edited, model, VALIDATION, users[:19], 1)
    edited = set_ranks(edited, "teacher", VALIDATION, users[:19], 1)
    result = verdict(cases=edited, thresholds=stricter(min_retention=0.0, min_lift=-1.0))
    assert result["segments"]["women"]["ships"] is True
    assert result["groups"]["women"]["enough"] is False
    assert check_of(result, "retention.women")["passed"] is False


def test_a_missing_test_window_holds_the_release(verdict: Judge, cases: pd.DataFrame) -> None:
    held = verdict(cases=cases[cases["window"] == VALIDATION])["held"]
    assert "women: its student was not measured on the test window" in held
    assert "the family was not compared with the teacher's NDCG on the test window" in held


@pytest.mark.parametrize("rank", [float("inf"), 1.5, "none", None])
def test_a_rank_that_is_no_whole_number_fails(
    verdict: Judge, cases: pd.DataFrame, rank: Any
) -> None:
    edited = cases.astype({"rank": object})
    edited.loc[edited.index[7], "rank"] = rank
    result = verdict(cases=edited)
    assert "teacher: 1 validation ranks are not numbers" in check_of(result, "population")["why"]


def test_a_missing_rank_in_a_nullable_column_fails(verdict: Judge, cases: pd.DataFrame) -> None:
    edited = cases.astype({"rank": "Int64"})
    edited.loc[edited.index[7], "rank"] = pd.NA
    assert "population" in failed(verdict(cases=edited))


def test_the_model_with_a_case_of_its_own_is_named_alone(
    verdict: Judge, cases: pd.DataFrame
) -> None:
    own = pd.DataFrame(
        [{"model": "bpr", "window": VALIDATION, "user": 5, "position": 99, "rank": 1}]
    )
    why = check_of(verdict(cases=pd.concat([cases, own])), "population")["why"]
    assert why.endswith("once: bpr: 1 validation cases that most models did not rank")


def test_models_that_are_not_compared_do_not_say_which_cases_are_expected(
    verdict: Judge, cases: pd.DataFrame
) -> None:
    others = [
        cases[cases["model"] == "teacher"].assign(model=f"v{n}", position=77) for n in range(40)
    ]
    assert failed(verdict(cases=pd.concat([cases, *others]))) == set()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"cases": pd.DataFrame()}, "the cases have no column model, window, user, position, rank"),
        ({"members": {}}, "there is no `general` student"),
        ({"members": {"general": np.arange(0)}}, "the groups have no users"),
        ({"folded": ["general"]}, "there is no `general` student"),
        ({"variants": {"v": "nobody"}}, "variants of unknown students: v of nobody"),
    ],
)
def test_evidence_that_cannot_be_read_fails(
    verdict: Judge, changes: dict[str, Any], why: str
) -> None:
    result = verdict(**changes)
    assert failed(result) == {"input"}
    assert why in check_of(result, "input")["why"]
    assert readable(result)


def test_thresholds_that_nothing_can_miss_are_named(verdict: Judge) -> None:
    assert verdict()["thresholds_off"] == []
    off = stricter(min_retention=0.0, min_lift=-1.0, margin=1.0)
    assert verdict(thresholds=off)["thresholds_off"] == [
        "min_retention: 0", "min_lift: -1", "margin: 1",
    ]  # fmt: skip
    assert "check nothing: min_retention: 0, min_lift: -1, margin: 1" in describe(
        verdict(thresholds=off)
    )


@pytest.mark.parametrize("allowed", [-1, 1.5])
def test_a_share_to_keep_that_makes_no_sense_is_no_threshold(
    verdict: Judge, hops: dict[str, Any], allowed: float
) -> None:
    hops["general"]["allowed"] = allowed
    assert failed(verdict()) == {"compression.general"}


def spoil_case(cases: pd.DataFrame, name: str, rank: Any) -> pd.DataFrame:
    """The cases with one rank of one model changed."""
    return set_ranks(cases.astype({"rank": float}), name, VALIDATION, np.array([7]), rank)


@pytest.mark.parametrize("name", ["teacher", "men/int8", "women/distilled", "popularity"])
def test_a_model_that_ranked_other_cases_fails_by_name(
    verdict: Judge, cases: pd.DataFrame, name: str
) -> None:
    of_model = (cases["model"] == name) & (cases["window"] == VALIDATION)
    for edited, problem in (
        (cases[~(of_model & (cases["user"] < 3))], "3 of 240 validation cases are missing"),
        (pd.concat([cases, cases[of_model][:2]]), "2 validation cases are ranked twice"),
        (spoil_case(cases, name, float("nan")), "1 validation ranks are not numbers of at least 1"),
        (spoil_case(cases, name, 0), "1 validation ranks are not numbers of at least 1"),
    ):
        result = verdict(cases=edited)
        assert "population" in failed(result)
        assert check_of(result, "population")["why"].endswith(f"{name}: {problem}")


def test_a_few_released_cases_are_no_match_for_a_teacher_on_everybody(
    verdict: Judge, cases: pd.DataFrame
) -> None:
    few = cases[(cases["model"] == "teacher") | (cases["user"] % 80 < 1)]
    result = verdict(cases=few)
    assert {"population", "retention"} <= failed(result)
    assert not any(segment["ships"] for segment in result["segments"].values())


def test_a_user_of_no_group_or_of_two_fails(verdict: Judge) -> None:
    nobodys = {**MEMBERS, "men": MEMBERS["men"][:-1]}
    assert "groups" in failed(verdict(members=nobodys))
    twice = {**MEMBERS, "men": np.arange(159, 240)}
    assert "groups" in failed(verdict(members=twice))


def test_a_group_whose_third_is_served_nothing_fails(verdict: Judge, cases: pd.DataFrame) -> None:
    third = MEMBERS["women"][:27]
    hidden = set_ranks(cases, "women/int8", VALIDATION, third, 10**6)
    hidden = set_ranks(hidden, "general/int8", VALIDATION, third, 10**6)
    result = verdict(cases=hidden, thresholds=stricter(min_retention=0.5))
    assert failed(result) >= {"retention.women"}
    assert failed(result).isdisjoint({"retention.men", "retention.general"})


@pytest.mark.parametrize(("least", "ships"), [(20, True), (45, False)])
def test_a_group_with_too_few_deciding_users_is_served_by_general(
    verdict: Judge, least: int, ships: bool
) -> None:
    deciding = len(deciders(MEMBERS["women"]))
    result = verdict(thresholds=stricter(min_deciding_users=least))
    segment = result["segments"]["women"]
    assert 20 < segment["deciding_users"] == deciding < 45
    assert segment["ships"] is ships
    if not ships:
        reason = f"too few to decide: {deciding} deciding users with a hit, of 45"
        assert segment["reason"] == reason
        assert {c["name"] for c in result["checks"] if "retention" in c["name"]} == {
            "retention", f"retention.{SMALL}"
        }  # fmt: skip


def test_small_groups_are_judged_by_general_which_serves_them(
    verdict: Judge, cases: pd.DataFrame
) -> None:
    small = stricter(min_deciding_users=45, min_retention=0.0, min_lift=-1.0)
    assert failed(verdict(thresholds=small)) == set()
    edited = set_ranks(cases, "general/int8", VALIDATION, np.arange(USERS), 9)
    assert f"retention.{SMALL}" in failed(verdict(cases=edited, thresholds=small))


def test_users_without_a_hit_by_either_model_decide_nothing(
    verdict: Judge, cases: pd.DataFrame
) -> None:
    users = deciders(MEMBERS["women"])
    edited = cases
    for name in ("women/int8", "general/int8"):
        edited = set_ranks(edited, name, VALIDATION, users, 10**6)
    edited = set_ranks(edited, "women/int8", VALIDATION, users[:5], 1)
    segment = verdict(cases=edited)["segments"]["women"]
    assert segment["gain"] > 0
    assert segment["lower_bound"] is None
    assert (segment["ships"], segment["informative_users"]) == (False, 5)


def test_the_margin_is_relative_to_generals_quality(verdict: Judge, cases: pd.DataFrame) -> None:
    for rank, ndcg in ((1, 1.0), (7, 1 / 3)):
        edited = set_ranks(cases, "general/int8", VALIDATION, MEMBERS["women"], rank)
        segment = verdict(cases=edited)["segments"]["women"]
        assert segment["margin"] == pytest.approx(0.02 * ndcg)


def test_segments_are_decided_together(verdict: Judge, cases: pd.DataFrame) -> None:
    """A gain that is enough for one segment alone is not enough beside another doubtful one."""
    users = deciders(MEMBERS["women"])
    edited = set_ranks(cases, "general/int8", VALIDATION, users, 2)
    edited = set_ranks(edited, "women/int8", VALIDATION, users, 2)
    edited = set_ranks(edited, "women/int8", VALIDATION, users[:13], 1)
    edited = set_ranks(edited, "women/int8", VALIDATION, users[-13:], 4)
    together = verdict(cases=edited)["segments"]["women"]
    alone = verdict(
        cases=edited, folded=["men"], members={**MEMBERS, "general": np.r_[0:80, 160:240]}
    )["segments"]["women"]
    assert together["p"] == alone["p"]
    assert (together["level"], alone["level"]) == (0.025, 0.05)
    assert together["level"] < together["p"] <= alone["level"]
    assert (together["ships"], alone["ships"]) == (False, True)
    assert together["lower_bound"] < -together["margin"] < alone["lower_bound"]


def test_a_sure_loss_on_test_holds_the_release_and_chooses_nothing(
    verdict: Judge, cases: pd.DataFrame
) -> None:
    edited = set_ranks(cases, "women/int8", TEST, MEMBERS["women"], 3)
    result = verdict(cases=edited)
    assert result["passed"] is True
    assert result["segments"]["women"]["ships"] is True
    (line,) = result["held"]
    assert line.startswith("women: its student loses 0.1")
    assert verdict()["held"] == []


def test_a_loss_on_test_that_is_not_sure_holds_nothing(verdict: Judge, cases: pd.DataFrame) -> None:
    edited = set_ranks(cases, "women/int8", TEST, MEMBERS["women"], 2)
    edited = set_ranks(edited, "general/int8", TEST, MEMBERS["women"], 2)
    edited = set_ranks(edited, "women/int8", TEST, MEMBERS["women"][:2], 3)
    assert verdict(cases=edited)["held"] == []


def test_a_loss_of_a_student_that_does_not_ship_holds_nothing(
    verdict: Judge, cases: pd.DataFrame
) -> None:
    edited = set_ranks(cases, "men/int8", TEST, MEMBERS["men"], 10**6)
    assert verdict(cases=edited)["held"] == []


def test_losses_on_test_are_judged_together(
    verdict: Judge, cases: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A p-value of .03 is sure enough for one student, and for neither of two (Holm)."""
    monkeypatch.setattr(gate, "p_value", lambda *_: 0.03)
    (line,) = verdict()["held"]
    assert line.startswith("women: ")
    both = set_ranks(cases, "men/int8", VALIDATION, MEMBERS["men"], 1)
    result = verdict(cases=both)
    assert all(segment["ships"] for segment in result["segments"].values())
    assert result["held"] == []


def test_a_family_surely_below_a_threshold_on_test_is_held(
    verdict: Judge, cases: pd.DataFrame
) -> None:
    edited = cases
    for name in ("women/int8", "general/int8"):
        edited = set_ranks(edited, name, TEST, np.arange(USERS), 9)
    held = verdict(cases=edited)["held"]
    assert any("of the teacher's NDCG on the test window, surely below 90.0%" in h for h in held)
    assert any("of item_knn's NDCG on the test window" in h for h in held)


def test_each_group_is_compared_with_teacher_and_bar(verdict: Judge) -> None:
    groups = verdict()["groups"]
    assert {*groups} == {"all", *MEMBERS}
    women = groups["women"]
    assert women["deciding_users"] == len(deciders(MEMBERS["women"]))
    assert women["retention"]["value"] == pytest.approx(women["family"] / women["teacher"])
    assert women["lift"]["value"] == pytest.approx(women["family"] / women["best_baseline"])
    assert women["retention"]["lower_bound"] < women["retention"]["value"]


def test_a_variant_is_judged_in_the_place_of_its_sibling(
    verdict: Judge, cases: pd.DataFrame, metrics: dict[str, Any]
) -> None:
    copies = cases[cases["model"] == "women/int8"]
    more = [copies.assign(model=f"{name}/int8") for name in ("same", "general_again")]
    metrics["models"] |= {"same/int8": metrics["models"]["women/int8"]}
    result = verdict(
        cases=pd.concat([cases, *more]), variants={"same": "women", "general_again": "general"}
    )
    assert result["variants"]["same"] == {"of": "women", **result["segments"]["women"]}
    assert result["variants"]["general_again"]["users"] == USERS
    assert {c["name"] for c in result["checks"]} == {c["name"] for c in verdict()["checks"]}


def test_the_same_evidence_gives_the_same_verdict(verdict: Judge) -> None:
    assert verdict() == verdict()


def test_figures_are_found_or_missing() -> None:
    content = {"a": {"b": 1}, "c": float("inf"), "d": False}
    assert figure(content, "a", "b") == 1.0
    for path in (("a", "x"), ("a", "b", "c"), ("c",), ("d",), ("a",), ("e",)):
        assert figure(content, *path) is None
