"""Curves against noise: what a figure is, the table, the picture."""

from xml.etree import ElementTree

import numpy as np
import pytest

from decant.evaluation.robustness import CLEAN, Curves
from decant.report.robustness import (
    PANELS,
    family,
    figures,
    lines,
    picture,
    resampled,
    short,
    table,
)
from decant.report.scores import Scores, ratio

USERS = np.repeat(np.arange(50), 3)
RNG = np.random.default_rng(5)


def curves(level: float) -> Curves:
    """NDCG that falls with the share of each kind of noise."""
    clean = level + 0.1 * RNG.random(len(USERS))
    noisy = {(kind, share): clean * (1 - share) for kind in PANELS for share in (0.05, 0.5)}
    return {(CLEAN, 0.0): clean, **noisy}


def only(owner: Curves, rows: np.ndarray) -> Curves:
    return {level: np.where(rows, values, np.nan) for level, values in owner.items()}


@pytest.fixture
def scores() -> Scores:
    """Women ship a student of their own, men do not."""
    members = {"women": np.arange(10), "men": np.arange(10, 20)}
    return Scores(USERS, {}, members, {"women": "women", "men": "general"}, 400, 3)


@pytest.fixture
def measured() -> dict[str, Curves]:
    return {
        "markov": curves(0.3),
        "teacher": curves(0.5),
        "general/int8": curves(0.4),
        "women/int8": only(curves(0.6), USERS < 10),
        "men/int8": only(curves(0.8), (USERS >= 10) & (USERS < 20)),
    }


def test_every_level_of_every_model_is_a_figure(
    measured: dict[str, Curves], scores: Scores
) -> None:
    result = figures(measured, scores)
    levels = [CLEAN, *(f"{k}.{p}{e}" for k in PANELS for p in ("05", "50") for e in ("", ".kept"))]
    models = ["baseline.markov", "teacher", "general", "women", "men", "family"]
    assert set(result) == {f"robustness.{m}.{level}" for m in models for level in levels}
    assert result["robustness.teacher.drop.50.kept"]["value"] == pytest.approx(0.5)
    assert result["robustness.women.clean"]["n"] == 10
    assert result["robustness.teacher.clean"]["n"] == 50


def test_a_figure_and_its_interval_are_those_of_the_report(
    measured: dict[str, Curves], scores: Scores
) -> None:
    result = figures(measured, scores)
    clean, noisy = (measured["teacher"][level] for level in ((CLEAN, 0.0), ("insert", 0.5)))
    for name, above, below in (
        ("clean", clean, np.ones(len(USERS))),
        ("insert.50", noisy, np.ones(len(USERS))),
        ("insert.50.kept", noisy + USERS * 0, clean),
    ):
        expected = ratio(scores, above, below)
        assert expected is not None
        assert result[f"robustness.teacher.{name}"] == pytest.approx(expected)


def test_the_family_is_who_serves_each_user(measured: dict[str, Curves], scores: Scores) -> None:
    served = family(measured, scores)["family"]
    women = USERS < 10
    for level, values in served.items():
        assert (values[women] == measured["women/int8"][level][women]).all()
        assert (values[~women] == measured["general/int8"][level][~women]).all()


def test_without_the_general_student_there_is_no_family(
    measured: dict[str, Curves], scores: Scores
) -> None:
    assert family({"teacher": measured["teacher"]}, scores) == {}
    assert family({"women/int8": measured["women/int8"]}, scores) == {}


def test_a_model_that_is_never_right_has_no_share_of_it(scores: Scores) -> None:
    zero = {level: 0 * values for level, values in curves(0.1).items()}
    result = figures({"markov": zero}, scores)
    assert result["robustness.baseline.markov.clean"]["value"] == 0
    assert not [name for name in result if name.endswith("kept")]
    assert "nan" in table(result, 10)


def test_resamples_draw_as_many_users_as_there_are_and_pair_the_columns() -> None:
    drawn = resampled(np.array([[1.0, 2.0]] * 7), 450, 1)
    assert drawn.tolist() == [[7.0, 14.0]] * 450
    one_user = resampled(np.eye(7)[:, :1], 4000, 1)[:, 0]
    assert abs(one_user.mean() - 1) < 0.06  # each is drawn once on average, not always
    assert one_user.std() > 0.5


def test_curves_begin_clean_and_the_best_model_is_first(
    measured: dict[str, Curves], scores: Scores
) -> None:
    result = figures(measured, scores)
    kinds = lines(result)
    assert list(kinds) == list(PANELS)
    names = list(kinds["drop"])
    assert names[0] == "men"
    assert names[-1] == "baseline.markov"
    points = kinds["drop"]["teacher"]
    assert [point.share for point in points] == [0, 0.05, 0.5]
    assert points[0].figure == result["robustness.teacher.clean"]
    assert points[2].figure == result["robustness.teacher.drop.50"]


def test_the_table_tells_what_is_kept(measured: dict[str, Curves], scores: Scores) -> None:
    said = table(figures(measured, scores), 10)
    assert [line.split("  ")[0] for line in said.splitlines() if "NDCG@10" in line] == [
        *PANELS.values()
    ]
    teacher = next(line for line in said.splitlines() if line.startswith("teacher"))
    clean = measured["teacher"][CLEAN, 0.0].mean()
    assert teacher.split() == ["teacher", f"{clean:.4f}", "95.0", "%", "50.0", "%"]


def test_the_picture_has_a_panel_for_each_kind_and_a_line_for_each_model(
    measured: dict[str, Curves], scores: Scores
) -> None:
    result = figures(measured, scores)
    drawn = picture(result, 10, without=("women", "men"))
    root = ElementTree.fromstring(drawn)
    texts = [
        "".join(text.itertext()).strip() for text in root.iter("{http://www.w3.org/2000/svg}text")
    ]
    assert all(texts.count(title) == 1 for title in PANELS.values())
    assert all(texts.count(model) == 1 for model in ("teacher", "family", "general", "markov"))
    assert "women" not in texts
    assert texts.count("share of noise, %") == 3
    assert texts.count("NDCG@10") == 1
    assert drawn == picture(result, 10, without=("women", "men"))  # the same bytes


@pytest.mark.parametrize(
    ("model", "name"),
    [("teacher", "teacher"), ("family", "family"), ("women/int8", "women"), ("x", "baseline.x")],
)
def test_models_have_short_names(model: str, name: str) -> None:
    assert short(model) == name


def test_the_picture_is_a_file_of_its_own_that_follows_light_and_dark(
    measured: dict[str, Curves], scores: Scores
) -> None:
    drawn = picture(figures(measured, scores), 10)
    assert drawn.startswith("<?xml") and "prefers-color-scheme: dark" in drawn
    dashed = [g for g in drawn.split("<g>") if "<title>baseline.markov</title>" in g]
    assert len(dashed) == 3 and all("stroke-dasharray" in line for line in dashed)


def test_a_picture_without_curves_can_be_drawn() -> None:
    assert "NDCG@5" in picture({}, 5)
