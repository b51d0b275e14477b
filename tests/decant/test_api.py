"""The library from Python: tables in, models out, measured, asked, saved and read."""

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import decant
from decant import api
from decant.models.bundle import BundleError
from decant.models.recommender import Recommender

ITEMS, EVENTS, USERS = 12, 10, 80
SETTINGS: dict[str, Any] = {
    "validate": {"min_items": 2},
    "features": {"attributes": ["kind"], "exclude_seen": False},
    "teacher": {"dimension": 16, "epochs": 6, "inputs": ["item", "attributes"], "layers": 1},
    "distill": {
        "dimension": 16,
        "epochs": 4,
        "heads": 1,
        "layers": 1,
        "segment_epochs": 8,
        "segment_learning_rate": 0.01,
        "min_users": 20,
    },
    "students": {
        "general": {"init": "teacher"},
        "odd": {"init": "general", "where": "kind == 'odd'", "priority": 1},
        "few": {"init": "general", "where": "kind == 'few'", "priority": 2},
        "from_few": {"init": "few", "where": "kind == 'odd'", "priority": 0},
    },
    "embed": {"encoder": "none"},
}


def kind(user: int) -> str:
    return "few" if user < 5 else ("even", "odd")[user % 2]


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Users who take one item after another, around; those of the kind odd backwards."""
    rng = np.random.default_rng(3)
    starts = rng.integers(ITEMS, size=USERS)
    rows = [
        (user, (int(starts[user]) + step * (-1 if kind(user) == "odd" else 1)) % ITEMS, day)
        for user in range(USERS)
        for step, day in enumerate(range(1_700_000_000, 1_700_000_000 + EVENTS * 86_400, 86_400))
    ]
    events = pd.DataFrame(rows, columns=["user", "item", "time"])
    users = pd.DataFrame({"user": range(USERS), "kind": [kind(user) for user in range(USERS)]})
    return events, users


@dataclass(frozen=True)
class Trained:
    data: api.Data
    teacher: Recommender
    students: dict[str, Recommender]


@pytest.fixture(scope="module")
def trained() -> Trained:
    events, users = tables()
    data = decant.prepare(events, users, params=decant.parse_params(SETTINGS))
    teacher = decant.fit(data, verbose=False)
    return Trained(data, teacher, decant.distill(data, teacher, verbose=False))


def test_models_learn_what_follows(trained: Trained) -> None:
    assert decant.recommend(trained.data, trained.teacher, [3, 4, 5], {"kind": "even"}, k=1) == [
        "6"
    ]
    assert decant.recommend(trained.data, trained.students["odd"], [5, 4, 3], k=1) == ["2"]


def test_small_groups_get_no_student(trained: Trained) -> None:
    assert sorted(trained.students) == ["general", "odd"]  # nor a variant that starts from theirs
    assert trained.data.folded == ["few"]


def test_figures_are_of_every_model_and_group(trained: Trained) -> None:
    models = {"teacher": trained.teacher, **trained.students}
    figures = decant.evaluate(trained.data, models)
    assert sorted(set(figures["model"])) == ["general", "odd", "teacher"]
    assert sorted(set(figures["group"])) == ["all", "few", "general", "odd"]
    everyone = figures[figures["group"] == "all"]
    assert (everyone["users"] <= USERS).all() and (everyone["cases"] > 0).all()
    assert figures["ndcg@10"].dropna().between(0, 1).all()


def test_another_window_is_refused(trained: Trained) -> None:
    with pytest.raises(ValueError, match="invalid window `tets`: expected `validation` or `test`"):
        decant.evaluate(trained.data, {}, "tets")


def test_a_compressed_student_is_measured_in_the_runtime_that_serves(
    trained: Trained, tmp_path: Path
) -> None:
    before = trained.students["odd"].state_dict()["bias"].clone()
    bundle = decant.compress(
        trained.data, trained.students["odd"], tmp_path, "odd", trained.teacher
    )
    assert (bundle / "model.onnx").is_file()
    figures = decant.evaluate(trained.data, {"int8": bundle})
    assert figures["ndcg@10"].iloc[0] > 0
    assert (trained.students["odd"].state_dict()["bias"] == before).all()


def test_a_saved_model_recommends_the_same(trained: Trained, tmp_path: Path) -> None:
    decant.save(trained.data, trained.teacher, tmp_path / "teacher")
    read = decant.load(tmp_path / "teacher")
    asked = [[1, 2], [7], []]
    for history in asked:
        assert decant.recommend(trained.data, read, history) == decant.recommend(
            trained.data, trained.teacher, history
        )


def test_students_that_others_start_from_are_trained_too(trained: Trained) -> None:
    students = decant.distill(trained.data, trained.teacher, ["odd"], verbose=False)
    assert list(students) == ["general", "odd"]


def test_an_unknown_student_names_the_nearest(trained: Trained) -> None:
    with pytest.raises(ValueError, match="no student `od`; did you mean `odd`"):
        decant.distill(trained.data, trained.teacher, ["od"])


def test_bad_rows_are_kept_with_their_reason() -> None:
    events, users = tables()
    events = events.astype({"item": object})
    events.loc[[4, 9], "item"] = None
    data = decant.prepare(events, users, params=decant.parse_params(SETTINGS))
    assert data.cleaned.quarantined["events"]["reason"].tolist() == ["no item", "no item"]


def test_columns_of_several_types_are_read() -> None:
    events, users = tables()
    events["item"] = [f"sku-{item}" if item % 2 else item for item in events["item"]]
    data = decant.prepare(events, users, params=decant.parse_params(SETTINGS))
    assert {"0", "sku-1"} <= set(data.encoder.items)


def test_every_function_can_be_called_by_the_name_of_the_package() -> None:
    assert sorted(decant._API) == sorted(api.__all__)
    assert set(api.__all__) <= set(dir(decant))
    with pytest.raises(AttributeError, match="`decant` has no attribute `ftt`"):
        decant.ftt  # noqa: B018


def test_importing_the_package_alone_loads_no_library() -> None:
    code = "import decant, sys; print('torch' in sys.modules, 'pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_compressed_student_can_be_asked_and_says_that_it_cannot_be_trained(
    trained: Trained, tmp_path: Path
) -> None:
    folder = decant.compress(trained.data, trained.students["odd"], tmp_path, "odd", verbose=False)
    assert decant.recommend(trained.data, folder, [5, 4, 3], k=1) == ["2"]
    with pytest.raises(BundleError, match="a graph and no weights: give the folder itself"):
        decant.load(folder)


def test_what_is_unknown_is_named_in_a_warning(trained: Trained) -> None:
    with pytest.warns(UserWarning) as caught:
        decant.recommend(
            trained.data, trained.teacher, [3, "sku"], {"kind": "blue", "plan": "gold"}
        )
    assert [str(warning.message) for warning in caught] == [
        "unknown items are left out: sku",
        "unknown attributes are left out: plan",
        "unknown values are left out: kind 'blue'",
    ]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"history": "sku"}, "history is a list of items"),
        ({"history": None}, "history is a list of items"),
        ({"user": "kind"}, "user is a mapping"),
        ({"k": 0}, f"k is 0; it must be a whole number from 1 to {ITEMS}"),
        ({"k": 1000}, "k is 1000"),
        ({"k": 1.5}, "k is 1.5"),
        ({"model": 3}, "a model or the folder of a bundle is needed, got int"),
        ({"model": "no/such"}, "no/such: no manifest.json"),
    ],
)
def test_a_wrong_request_is_one_clear_line(
    trained: Trained, options: dict[str, Any], problem: str
) -> None:
    request = {"model": trained.teacher, "history": [3], "k": 1, **options}
    with pytest.raises((ValueError, TypeError), match=problem):
        decant.recommend(trained.data, **request)


def test_other_wrong_arguments_are_one_clear_line(trained: Trained, tmp_path: Path) -> None:
    events, _ = tables()
    for call, problem in (
        (lambda: decant.evaluate(trained.data, [trained.teacher]), "models is a mapping"),
        (lambda: decant.evaluate(trained.data, {"x": tmp_path}), "no manifest.json"),
        (lambda: decant.compress(trained.data, trained.teacher, tmp_path, "od"), "mean `odd`"),
        (lambda: decant.prepare("events.csv"), "events must be a DataFrame, got str"),
        (lambda: decant.prepare(pd.DataFrame({0: [1], 1: [2]})), "names are not text, such as 0"),
        (lambda: decant.prepare(events, params={"seed": 3}), "params are settings"),
        (lambda: decant.load_params(str(tmp_path)), "a folder, not a file"),
    ):
        with pytest.raises((ValueError, TypeError), match=problem):
            call()


def test_one_student_may_be_named_alone_and_small_groups_are_reported(
    trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(decant.distill(trained.data, trained.teacher, "few")) == ["general"]
    line = "merged into general: few (fewer than distill.min_users (20) users, or starts from such"
    assert line in capsys.readouterr().out


def test_a_history_may_be_any_series_of_items_and_k_any_whole_number(trained: Trained) -> None:
    asked: list[Any] = [[3, 4, 5], (3, 4, 5), pd.Series([3, 4, 5]), iter([3, 4, 5])]
    for history in asked:
        answer = decant.recommend(
            trained.data, trained.teacher, history, {"kind": "even"}, k=np.int64(1)
        )
        assert answer == ["6"]


def test_lists_longer_than_the_catalogue_are_not_evaluated(trained: Trained) -> None:
    evaluation = trained.data.params.evaluate.model_copy(update={"k": 1000})
    params = trained.data.params.model_copy(update={"evaluate": evaluation})
    with pytest.raises(ValueError, match=r"evaluate\.k is 1000"):
        decant.evaluate(replace(trained.data, params=params), {"teacher": trained.teacher})
