import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from threadpoolctl import threadpool_info, threadpool_limits

from decant.evaluation import baselines
from decant.evaluation.baselines import (
    BASELINES,
    CONTENT,
    COUNTS,
    HYBRID,
    KINDS,
    NAMES,
    REPEATING,
)
from decant.evaluation.baselines.hybrid import WEIGHTS
from decant.evaluation.evaluate import (
    ALL,
    ORACLE,
    Evaluated,
    NothingToEvaluateError,
    evaluate,
    scorers,
)
from decant.evaluation.metrics import ndcg
from decant.features.encode import Encoder
from decant.features.holdout import in_selection, selection_cases
from decant.features.sequences import TEST, VALIDATION, Cases, Sequences
from decant.models import bundle
from decant.runtime.session import Model

ITEMS = 6
MEASURED = {*NAMES} - {*REPEATING}  # seen items are left out here


def write_graph(folder: Path, table: np.ndarray) -> Path:
    """A model whose scores are the row of `table` [N + 1, N + 1] of the last item."""
    weights = [
        numpy_helper.from_array(table.astype(np.float32), "table"),
        numpy_helper.from_array(np.array(-1), "newest"),
    ]
    nodes = [
        helper.make_node("Gather", ["items", "newest"], ["last"], axis=1),
        helper.make_node("Gather", ["table", "last"], ["scores"]),
    ]
    items = helper.make_tensor_value_info("items", TensorProto.INT64, ["b", "t"])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["b", ITEMS + 1])
    graph = helper.make_graph(nodes, "g", [items], [scores], weights)
    opset = [helper.make_opsetid("", 18)]
    folder.mkdir()
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / bundle.GRAPH)
    (folder / bundle.WEIGHTS).write_bytes(b"not served")
    bundle.seal(folder)
    return folder


@pytest.fixture
def sequences(make_sequences: Callable[..., Sequences]) -> Sequences:
    """Users 0-2 go up from item to item, users 3 and 4 down."""
    return make_sequences([[1, 2, 3, 4], [2, 3, 4, 5], [3, 4, 5, 6], [6, 5, 4, 3], [5, 4, 3, 2]])


@pytest.fixture
def encoder(make_encoder: Callable[..., Encoder]) -> Encoder:
    return make_encoder(ITEMS, 3)


@pytest.fixture
def bundles(tmp_path: Path) -> dict[str, Path]:
    """The teacher goes up; general prefers up, then down."""
    up, down = np.eye(ITEMS + 1, k=1), np.eye(ITEMS + 1, k=-1)
    popular = np.linspace(0, 0.1, ITEMS + 1)
    return {
        "teacher": write_graph(tmp_path / "teacher", up + popular),
        "general/int8": write_graph(tmp_path / "general", 2 * up + down + popular),
    }


Run = Callable[..., Evaluated]


@pytest.fixture
def run(sequences: Sequences, encoder: Encoder, bundles: dict[str, Path]) -> Run:
    def run(**changes: Any) -> Evaluated:
        arguments: dict[str, Any] = {
            "sequences": sequences,
            "encoder": encoder,
            "members": {"general": np.array([3, 4]), "up": np.array([0, 1, 2])},
            "bundles": bundles,
            "oracle": None,
            "k": 2,
            "cases_per_user": 4,
            "latency_requests": 10,
            "seed": 0,
            "vectors": np.eye(ITEMS + 1, dtype=np.float32),
        }
        return evaluate(**{**arguments, **changes})

    return run


def test_every_model_has_figures_for_every_window_and_group(run: Run) -> None:
    models = run().metrics["models"]
    assert set(models) == {*MEASURED, "teacher", "general/int8"}
    for figures in models.values():
        for window in (VALIDATION, TEST):
            assert set(figures[window]) == {ALL, "general", "up"}


def test_figures_are_those_of_the_known_ranking(run: Run) -> None:
    models = run().metrics["models"]
    for window in (VALIDATION, TEST):
        assert models["teacher"][window]["up"]["ndcg"] == 1.0
        # user 3 has taken all that is more popular; for user 4, item 6 comes first
        teacher = models["teacher"][window]["general"]
        assert teacher["ndcg"] == pytest.approx((1 + 1 / np.log2(3)) / 2)
        assert models["general/int8"][window][ALL]["ndcg"] == 1.0


def test_everybody_is_the_mean_over_the_groups_cases(run: Run) -> None:
    result = run()
    teacher, groups = result.metrics["models"]["teacher"][TEST], result.metrics["groups"]
    sizes = {name: groups[name][f"{TEST}_cases"] for name in ("general", "up")}
    mean = sum(teacher[name]["ndcg"] * n for name, n in sizes.items()) / sum(sizes.values())
    assert teacher[ALL]["ndcg"] == pytest.approx(mean)


def test_groups_are_counted(run: Run) -> None:
    assert run().metrics["groups"]["up"] == {"users": 3, "validation_cases": 3, "test_cases": 3}


def test_every_case_is_a_row(run: Run, sequences: Sequences) -> None:
    table = run().cases
    assert list(table) == ["model", "window", "user", "position", "rank"]
    rows = table[(table["model"] == "teacher") & (table["window"] == TEST)]
    assert rows["user"].tolist() == [0, 1, 2, 3, 4]
    assert rows["position"].tolist() == (sequences.offsets[1:] - 1).tolist()
    assert rows["rank"].tolist()[:3] == [1, 1, 1]
    assert len(table) == 2 * 5 * (len(MEASURED) + 2)


def test_the_top_is_that_of_the_test_window(run: Run) -> None:
    assert run().top["teacher"][:3, 0].tolist() == [4, 5, 6]
    assert run().top["teacher"].shape == (5, 2)


def test_costs_are_of_the_files_that_are_served(run: Run, bundles: dict[str, Path]) -> None:
    models = run().metrics["models"]
    for name, folder in bundles.items():
        assert models[name]["bytes"] == bundle.size_bytes(folder)
        assert set(models[name]["latency_us"]) == {"p50", "p95"}
    assert "bytes" not in models["popularity"]


def test_the_oracle_is_measured_where_it_is_known(run: Run) -> None:
    def oracle(chosen: Cases) -> np.ndarray:
        return np.where(chosen.user == 0, 0, np.where(chosen.user < 3, 1, 3))

    result = run(oracle=oracle)
    figures = result.metrics["models"][ORACLE][TEST]
    assert figures["up"] == {"ndcg": 1.0}
    assert figures["general"] == {"ndcg": 0.0}
    assert figures[ALL] == {"ndcg": 0.5}
    rows = result.cases[result.cases["model"] == ORACLE]
    assert sorted(rows["user"].unique()) == [1, 2, 3, 4]
    assert ORACLE not in result.top


def test_an_oracle_that_knows_nothing_has_no_figures(run: Run) -> None:
    result = run(oracle=lambda chosen: np.zeros(len(chosen), dtype=int))
    assert result.metrics["models"][ORACLE] == {VALIDATION: {}, TEST: {}}


def test_a_group_without_cases_has_no_figures(run: Run) -> None:
    nobody = {"general": np.arange(5), "empty": np.zeros(0, dtype=int)}
    result = run(members=nobody).metrics
    assert "empty" not in result["models"]["teacher"][TEST]
    assert result["groups"]["empty"] == {"users": 0, "validation_cases": 0, "test_cases": 0}


@pytest.mark.parametrize("window", [VALIDATION, TEST])
def test_a_window_without_cases_is_an_error(run: Run, sequences: Sequences, window: str) -> None:
    first, second = sequences.split.T
    last = np.diff(sequences.offsets)
    split = np.stack([second, second] if window == VALIDATION else [first, last], axis=1)
    with pytest.raises(
        NothingToEvaluateError, match=f"the {window} window has nothing to evaluate"
    ):
        run(sequences=replace(sequences, split=split))


def test_a_list_longer_than_the_catalogue_is_an_error(run: Run) -> None:
    with pytest.raises(ValueError, match=r"evaluate\.k is 1000, but the catalogue has \d+ items"):
        run(k=1000)


def test_where_a_moment_is_a_set_every_model_is_measured_before_baskets_too(
    run: Run, make_sequences: Callable[..., Sequences], encoder: Encoder
) -> None:
    sequences = make_sequences(
        [[1, 2, 3, 4], [2, 3, 4, 5], [3, 4, 5, 6]],
        baskets=[0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 8],
        split=[[1, 2]] * 3,
    )
    groups = {"general": np.array([2]), "up": np.array([0, 1])}
    sets = replace(encoder, baskets=True)
    result = run(sequences=sequences, encoder=sets, members=groups)
    assert result.metrics["baskets"] == {VALIDATION: 3, TEST: 3}
    assert result.baskets is not None
    assert set(result.baskets["model"]) == {*MEASURED, "teacher", "general/int8"}
    figures = result.metrics["models"]["teacher"][TEST]
    # the teacher has the next item first and the popular 6 second: of {3, 4} and {4, 5} it finds
    # one, of {5, 6} both
    assert figures["up"]["basket_recall"] == 0.5
    assert figures["general"]["basket_recall"] == 1.0
    assert run().baskets is None and run().metrics["baskets"] == {}


def test_everything_but_latency_is_the_same_each_time(run: Run) -> None:
    def steady(result: Evaluated) -> str:
        for model in result.metrics["models"].values():
            model.pop("latency_us", None)
        return json.dumps(result.metrics, sort_keys=True, allow_nan=False)

    assert steady(run()) == steady(run())
    assert run().cases.equals(run().cases)


def test_only_the_released_hop_is_scored_one_request_at_a_time(
    sequences: Sequences, encoder: Encoder, bundles: dict[str, Path]
) -> None:
    graph = Model(bundles["teacher"] / bundle.GRAPH)
    names = ("teacher", "general/distilled", "general/pruned", "general/int8")
    made = scorers(dict.fromkeys(names, graph), sequences, encoder)
    assert [made[name]().as_served for name in names] == [False, False, False, True]  # type: ignore[attr-defined]


def test_progress_is_told_for_every_model(run: Run) -> None:
    lines: list[str] = []
    run(progress=lines.append)
    message = sorted(line.split(": test NDCG@2 ")[0] for line in lines if ": test" in line)
    assert message == sorted([*MEASURED, "teacher", "general/int8"])


def test_the_hybrid_is_of_the_best_two_kinds_on_the_users_that_pick(run: Run) -> None:
    result = run()
    mixed, table = result.metrics["hybrid"], result.cases
    window = table[(table["window"] == VALIDATION) & in_selection(table["user"].to_numpy())]
    quality = {
        name: ndcg(window[window["model"] == name]["rank"].to_numpy(), 2).mean()
        for name in {*BASELINES, CONTENT} & MEASURED
    }
    best = max(quality.values())
    assert quality[mixed["first"]] == best
    assert KINDS[mixed["first"]] != KINDS[mixed["second"]]
    others = [v for name, v in quality.items() if KINDS[name] != KINDS[mixed["first"]]]
    assert quality[mixed["second"]] == max(others)
    assert mixed["weight"] in WEIGHTS


def test_the_hybrids_weight_is_chosen_by_the_validation_cases_of_the_users_that_pick(
    run: Run, sequences: Sequences, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Cases] = []

    def note(
        first: Any, second: Any, sequences: Sequences, chosen: Cases, *_: Any, **__: Any
    ) -> Any:
        seen.append(chosen)
        return 0.3

    monkeypatch.setattr("decant.evaluation.evaluate.best_weight", note)
    assert run().metrics["hybrid"]["weight"] == 0.3
    expected = selection_cases(sequences, 4)
    assert [chosen.position.tolist() for chosen in seen] == [expected.position.tolist()]


def test_figures_are_made_by_one_thread_each_whatever_the_machine_has(run: Run) -> None:
    threads: set[int] = set()

    def note(_: str) -> None:
        threads.update(pool["num_threads"] for pool in threadpool_info()
                       if pool["user_api"] == "blas")  # fmt: skip

    with threadpool_limits(2, user_api="blas"):
        run(progress=note)
    assert threads == {1}


def test_what_is_left_out_is_told_with_the_reason(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "LARGEST_INVERSE", ITEMS - 1)
    lines: list[str] = []
    metrics = run(vectors=None, progress=lines.append).metrics
    assert set(metrics["left_out"]) == {"ease", "recency_ease", CONTENT, *REPEATING}
    assert set(metrics["models"]) == {*MEASURED, "teacher", "general/int8"} - {*metrics["left_out"]}
    for name, why in metrics["left_out"].items():
        assert f"{name}: left out, {why}" in lines


def test_without_validation_users_that_pick_there_is_no_hybrid(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = lambda users: np.zeros(len(users), dtype=bool)  # noqa: E731
    for place in ("decant.evaluation.evaluate", "decant.features.holdout"):
        monkeypatch.setattr(f"{place}.in_selection", nobody)
    metrics = run().metrics
    assert metrics["hybrid"] is None and HYBRID in metrics["left_out"]
    assert metrics["count_mixture"] is None and COUNTS in metrics["left_out"]
    assert HYBRID not in metrics["models"]


def test_no_warning_reaches_the_user_and_the_threads_are_given_back(run: Run) -> None:
    before = threadpool_info()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run()
    assert threadpool_info() == before
