"""The drawing system: SVG that is the same each time and follows the reader's colours."""

import re
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure as Sheet

from decant.report import plots
from decant.report.results import Figure

FIGURE: Figure = {"value": 0.2, "low": 0.1, "high": 0.4, "n": 9}


def draw(sheet: Sheet) -> None:
    axes = sheet.subplots()
    axes.plot([1, 2], [3, 4], **plots.marks(0, tip="<one> & two"))
    axes.fill_between([1, 2], [2, 3], [4, 5], color=plots.colour(1), alpha=0.1)
    axes.set_title("$a_b$ < c")
    plots.interval(axes, FIGURE, 1.5, 2, hollow=True)
    plots.legend(sheet, [("_hidden", plots.marks(0)), ("$x$", plots.marks(1))])


@pytest.fixture(scope="module")
def inline() -> str:
    return plots.svg((4, 3), draw, "A title", "A description")


@pytest.fixture(scope="module")
def standalone() -> str:
    return plots.svg((4, 3), draw, "A title", standalone=True)


def test_the_same_drawing_gives_the_same_bytes(inline: str, standalone: str) -> None:
    assert plots.svg((4, 3), draw, "A title", "A description") == inline
    assert plots.svg((4, 3), draw, "A title", standalone=True) == standalone
    assert not re.search(r"\d{4}-\d\d-\d\d|[Mm]atplotlib", inline + standalone)


def test_every_colour_is_a_variable_that_is_defined_for_light_and_dark(inline: str) -> None:
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b", re.sub(r"url\(#\w+\)|href=\"#\w+", "", inline))
    light, dark = (set(re.findall(r"--(\w+):", part)) for part in plots.CSS.split("@media", 1))
    used = set(re.findall(r"var\(--(\w+)\)", inline))
    assert {"ink", "soft", "line", "page", "c0", "c1", "c2"} <= used <= light == dark


def test_a_colour_outside_the_style_is_a_mistake() -> None:
    with pytest.raises(KeyError, match="#123456"):
        plots.svg((4, 3), lambda sheet: sheet.subplots().axvline(0, color="#123456"), "x")


def test_no_two_variables_share_a_colour() -> None:
    assert len(plots.VARIABLES) == len(plots.LIGHT) and len(plots.COLOURS) == 8


def test_text_stays_text_in_the_readers_font(inline: str) -> None:
    words = ["".join(t.itertext()) for t in ElementTree.fromstring(inline).iter("text")]
    assert {"$a_b$ < c", "_hidden", "$x$"} <= set(words)
    assert "font-family" not in inline and "<b>" not in inline


def test_a_shape_says_its_tip_and_the_picture_its_title_and_description(inline: str) -> None:
    root = ElementTree.fromstring(inline)
    assert [title.text for title in root.iter("title")] == ["A title", "<one> & two"]
    assert root.findtext("desc") == "A description" and root.attrib["role"] == "img"


def test_ids_are_only_those_that_are_referred_to_and_differ_between_pictures(inline: str) -> None:
    ids = re.findall(r' id="(\w+)"', inline)
    assert len(ids) == len(set(ids)) > 0
    assert set(ids) == set(re.findall(r'(?:href="|url\()#(\w+)', inline))
    other = plots.svg((4, 3), draw, "Another title")
    assert not set(ids) & set(re.findall(r' id="(\w+)"', other))


def test_a_picture_of_a_page_takes_its_width_and_its_style_from_the_page(inline: str) -> None:
    root = ElementTree.fromstring(inline)
    assert not {"width", "height", "xmlns"} & set(root.attrib) and "viewBox" in root.attrib
    assert not list(root.iter("style"))


def test_a_picture_of_its_own_has_its_style_its_size_and_its_ground(standalone: str) -> None:
    assert standalone.startswith("<?xml") and standalone.endswith("</svg>\n")
    name = "{http://www.w3.org/2000/svg}"
    root = ElementTree.fromstring(standalone)
    assert root.tag == f"{name}svg" and {"width", "height"} <= set(root.attrib)
    assert root.findtext(f"{name}style") == plots.CSS
    assert [child.tag.removeprefix(name) for child in root][:4] == [
        "title",
        "desc",
        "style",
        "rect",
    ]


def test_series_differ_in_colour_and_marker_and_repeat_late() -> None:
    styles = [(m["color"], m["marker"]) for m in map(plots.marks, range(56))]
    assert len(set(styles)) == 56
    assert plots.marks(56) == plots.marks(0)
    hollow = plots.marks(3, hollow=True)
    assert hollow["markerfacecolor"] == plots.PAGE != hollow["color"]


@pytest.mark.parametrize(
    ("changes", "scale", "expected"),
    [
        ({}, 1, (0.2, 0.1, 0.4)),
        ({}, 100, (20, 10, 40)),
        ({"low": None, "high": None}, 100, (20, 20, 20)),
        ({"low": None}, 1, (0.2, 0.2, 0.4)),
    ],
)
def test_a_figure_without_an_interval_ends_where_it_begins(
    changes: dict[str, Any], scale: float, expected: tuple[float, float, float]
) -> None:
    figure: Figure = {**FIGURE, **changes}
    assert plots.ends(figure, scale) == pytest.approx(expected)


@pytest.mark.parametrize("upright", [False, True])
def test_an_interval_lies_on_its_axis_with_the_value_between_its_ends(upright: bool) -> None:
    axes = Sheet().subplots()
    plots.interval(axes, FIGURE, 7, 0, upright=upright, scale=10)
    line, point = axes.get_lines()
    values, places = (line.get_ydata(), line.get_xdata())[:: 1 if upright else -1]
    assert list(values) == [1, 4] and list(places) == [7, 7]
    assert list(point.get_ydata() if upright else point.get_xdata()) == [2]


def test_labels_keep_their_distance() -> None:
    assert plots.spread([10, 11, 50], 15, 0, 100) == [10, 25, 50]
    assert plots.spread([95, 96, 97], 15, 0, 100) == [70, 85, 100]
    assert plots.spread([], 15, 0, 100) == []


def test_names_that_are_too_long_are_cut() -> None:
    assert plots.short("women_under_35") == "women_under_35"
    assert plots.short("x" * 40) == "x" * 17 + "…"
