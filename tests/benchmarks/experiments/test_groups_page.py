"""The picture of student variants in user groups."""

from xml.etree import ElementTree

import pytest

from benchmarks.experiments.groups_page import picture, shown
from benchmarks.experiments.variants import SEGMENT
from decant.evaluation.evaluate import ALL
from decant.report.results import Figure

FROM_ATTRIBUTES = "from_attributes"
SVG = "{http://www.w3.org/2000/svg}"
GROUPS = {"far": 0.3, "near": 0.1, "middle": 0.2}


def figure(value: float) -> Figure:
    return {"value": value, "low": value - 0.01, "high": value + 0.02, "n": 50}


@pytest.fixture
def figures() -> dict[str, Figure]:
    gains = {
        f"gain.{variant}.{group}": figure(gain)
        for variant, gain in ((SEGMENT, 0.05), (FROM_ATTRIBUTES, -0.02))
        for group in (ALL, *GROUPS)
    }
    return {f"difference.{name}": figure(value) for name, value in GROUPS.items()} | gains


@pytest.fixture
def root(figures: dict[str, Figure]) -> ElementTree.Element:
    return ElementTree.fromstring(picture(figures, list(GROUPS)))


def texts(root: ElementTree.Element) -> list[str]:
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def test_groups_that_differ_most_are_on_top(root: ElementTree.Element) -> None:
    places = {"".join(text.itertext()): float(text.attrib["y"]) for text in root.iter(f"{SVG}text")}
    assert places["far"] < places["middle"] < places["near"]


def test_each_gain_stands_once_by_group_and_once_by_difference(root: ElementTree.Element) -> None:
    tips = [title.text for title in root.iter(f"{SVG}title")][1:]
    assert len(tips) == 2 * 2 * len(GROUPS)
    assert tips.count(f"{SEGMENT}, far: +5.0 % [+4.0, +7.0]") == 2
    assert tips.count(f"{FROM_ATTRIBUTES}, near: -2.0 % [-3.0, +0.0]") == 2


def test_variants_that_were_not_measured_are_neither_drawn_nor_named(
    figures: dict[str, Figure], root: ElementTree.Element
) -> None:
    assert {SEGMENT, FROM_ATTRIBUTES} <= {*texts(root)} and "adapters" not in texts(root)
    alone = {name: value for name, value in figures.items() if FROM_ATTRIBUTES not in name}
    assert FROM_ATTRIBUTES not in texts(ElementTree.fromstring(picture(alone, list(GROUPS))))


def test_equal_figures_give_equal_bytes_and_a_file_of_its_own(figures: dict[str, Figure]) -> None:
    drawn = picture(figures, list(GROUPS))
    assert drawn == picture(dict(reversed(figures.items())), list(GROUPS))
    assert drawn.startswith("<?xml") and "prefers-color-scheme: dark" in drawn


def test_groups_that_differ_alike_are_drawn_too(figures: dict[str, Figure]) -> None:
    alike = {n: figure(0.2) if n.startswith("difference") else v for n, v in figures.items()}
    assert "<svg" in picture(alike, list(GROUPS))


def test_a_gain_is_in_percent_with_its_interval() -> None:
    assert shown(figure(0.05)) == "+5.0 % [+4.0, +7.0]"
    assert shown({"value": 0.1, "low": None, "high": None, "n": 1}) == "+10.0 % [+0.0, +0.0]"
