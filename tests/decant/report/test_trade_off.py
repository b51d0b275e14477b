"""Quality against latency."""

from typing import Any
from xml.etree import ElementTree

import pytest

from decant.report import plots
from decant.report.trade_off import DRAWN, Point, levels, picture, step_points, trade_off

TEACHER = Point("teacher", 2000, 1.0)
STEPS = [Point("a, pruned", 300, 0.97), Point("a, int8", 200, 0.96, released=True)]


def drawing(*arguments: Any) -> ElementTree.Element:
    return ElementTree.fromstring(picture(*arguments))


def texts(root: ElementTree.Element) -> list[str]:
    return ["".join(text.itertext()) for text in root.iter("text")]


def marker(root: ElementTree.Element, tip: str) -> ElementTree.Element:
    """The marker that shows a tip."""
    groups = [g for g in root.iter("g") if (g.findtext("title") or "").startswith(tip)]
    return next(use for group in groups for use in group.iter("use"))


def test_every_model_is_drawn_once_within_the_frame() -> None:
    root = drawing(TEACHER, {"a": STEPS, "b": STEPS[:1]}, {"markov": 0.9}, "title", "words")
    assert (root.findtext("title"), root.findtext("desc")) == ("title", "words")
    tips = [(title.text or "").replace("\u00a0", " ") for title in root.iter("title")]
    assert tips.count("a, int8: 96.0 % of the teacher, 200 µs") == 1
    assert tips.count("teacher: 100.0 % of the teacher, 2.00 ms") == 1
    assert tips.count("markov: 90.0 %") == 1
    assert [texts(root).count(name) for name in ("a", "b", "markov", "teacher")] == [1] * 4
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for element in root.iter("use"):
        assert 0 <= float(element.attrib["x"]) <= width
        assert 0 <= float(element.attrib["y"]) <= height


def test_faster_is_left_and_better_is_up() -> None:
    root = drawing(TEACHER, {"a": STEPS}, {}, "title", "")
    teacher, student = marker(root, "teacher: 100"), marker(root, "a, int8")
    assert float(student.attrib["x"]) < float(teacher.attrib["x"])
    assert float(student.attrib["y"]) > float(teacher.attrib["y"])


def test_released_models_alone_are_filled() -> None:
    root = drawing(TEACHER, {"a": STEPS}, {}, "title", "")
    assert "fill: var(--c0)" in marker(root, "a, int8").attrib["style"]
    assert "fill: var(--page)" in marker(root, "a, pruned").attrib["style"]


def test_a_student_has_one_colour_in_all_pictures_even_if_another_was_not_measured() -> None:
    root = drawing(TEACHER, {"a": [], "b": STEPS}, {}, "title", "")
    assert "fill: var(--c1)" in marker(root, "a, int8").attrib["style"]
    assert "a" not in texts(root)


def test_the_teacher_alone_can_be_drawn() -> None:
    assert "teacher" in texts(drawing(TEACHER, {}, {}, "title", ""))


def test_long_names_are_cut_and_close_levels_keep_their_distance() -> None:
    near = {"a_traditional_model_of_many_words": 0.951, "markov": 0.95, "ease": 0.949}
    root = drawing(TEACHER, {"a": STEPS}, near, "title", "")
    places = {
        "".join(t.itertext()): float(t.attrib["y"])
        for t in root.iter("text")
        if "".join(t.itertext()) in ("a_traditional_mod…", "markov", "ease")
    }
    assert len(places) == 3
    first, second, third = sorted(places.values())
    assert second - first >= 10 and third - second >= 10


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "svg", lambda size, draw, title, description: title)


def test_the_caption_names_what_is_not_drawn(run: Any, shown: None) -> None:
    made = trade_off(run.evidence())
    assert made is not None
    assert "3 students" in made.picture
    assert "not drawn:" in made.caption and "popularity (" in made.caption


def test_the_best_traditional_models_alone_are_drawn_if_they_are_near(run: Any) -> None:
    near, far = levels(run.evidence(), [0.8])
    assert 0 < len(near) <= DRAWN and next(iter(near)) == "markov"
    assert "popularity" in far and not {*near} & {*far}
    assert min(near.values()) > 0.68


@pytest.mark.parametrize("key", ["latency_us", "test"])
def test_without_the_teachers_latency_or_quality_there_is_no_picture(run: Any, key: str) -> None:
    del run.metrics["models"]["teacher"][key]
    assert trade_off(run.evidence()) is None


def test_a_student_that_was_not_accepted_has_no_released_step(run: Any) -> None:
    evidence = run.evidence()
    assert [p.released for p in step_points(evidence, "women")] == [False, False, True]
    assert [p.released for p in step_points(evidence, "men")] == [False, False, False]
    del run.metrics["models"]["women/pruned"]["latency_us"]
    names = [p.name for p in step_points(run.evidence(), "women")]
    assert names == ["women, distilled", "women, int8"]
