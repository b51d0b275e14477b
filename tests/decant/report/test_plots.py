"""The pictures."""

from xml.etree import ElementTree

import pytest

from decant.report.markup import Raw
from decant.report.plots import Point, Row, gains, spread, ticks, trade_off
from decant.report.scores import Figure

TEACHER = Point("teacher", 2000, 1.0)
HOPS = [Point("a, pruned", 300, 0.97, 1), Point("a, int8", 200, 0.96, 2, served=True)]


def parse(picture: Raw) -> ElementTree.Element:
    return ElementTree.fromstring(picture.markup)


def texts(picture: Raw) -> list[str]:
    return ["".join(text.itertext()) for text in parse(picture).iter("text")]


def numbers(root: ElementTree.Element, name: str) -> list[float]:
    return [float(element.attrib[name]) for element in root.iter() if name in element.attrib]


def test_the_trade_off_shows_every_model_once_and_within_the_frame() -> None:
    picture = trade_off(TEACHER, {"a": HOPS, "b": HOPS}, {"markov": 0.9}, "what it shows")
    root = parse(picture)
    assert root.attrib["role"] == "img" and root.attrib["aria-label"] == "what it shows"
    assert len(list(root.iter("polyline"))) == 2
    told = [title.text or "" for title in root.iter("title")]
    assert "a, int8: 96.0 % of the teacher, 200 µs" in told
    assert "teacher: 100.0 % of the teacher, 2.00 ms" in told
    assert any("markov" in text for text in texts(picture))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert all(0 <= x <= width for key in ("x", "cx", "x1", "x2") for x in numbers(root, key))
    assert all(0 <= y <= height for key in ("y", "cy", "y1", "y2") for y in numbers(root, key))


def test_faster_is_left_and_better_is_up() -> None:
    root = parse(trade_off(TEACHER, {"a": HOPS}, {}, ""))
    square = next(e for e in root.iter("rect") if e.attrib["class"] == "teacher")
    served = next(e for e in root.iter("circle") if e.attrib["class"] == "solid")
    assert float(served.attrib["cx"]) < float(square.attrib["x"])
    assert float(served.attrib["cy"]) > float(square.attrib["y"])


def test_a_picture_of_the_teacher_alone_can_be_drawn() -> None:
    assert "teacher" in " ".join(texts(trade_off(TEACHER, {}, {}, "")))


def test_gains_are_drawn_with_both_windows_and_who_ships() -> None:
    figure: Figure = {"value": 0.02, "low": 0.01, "high": 0.03, "n": 9}
    lost: Figure = {"value": -0.02, "low": -0.03, "high": -0.01, "n": 9}
    rows = [Row("<women>", 1, True, figure, figure), Row("men", 2, False, lost, None)]
    found = texts(gains(rows, 0.005, "gains"))
    assert {"<women>", "men", "ships", "general serves", "−0.0200", "not measured"} <= set(found)
    assert "<women>" not in gains(rows, 0.005, "gains").markup


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-0.011, 0.043, [-0.01, 0.0, 0.01, 0.02, 0.03, 0.04]),
        (95.1, 103.2, [96, 98, 100, 102]),
    ],
)
def test_ticks_are_round_and_within_the_range(
    low: float, high: float, expected: list[float]
) -> None:
    assert ticks(low, high, 6) == pytest.approx(expected)


def test_labels_keep_their_distance() -> None:
    assert spread([10, 11, 50], 15, 0, 100) == [10, 25, 50]
    assert spread([95, 96, 97], 15, 0, 100) == [70, 85, 100]
    assert spread([], 15, 0, 100) == []
