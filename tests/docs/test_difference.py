"""The page of how different a group must be says what the results say, whatever they are."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from decant.report.results import Figure
from docs._generate import difference, results
from docs._generate.difference import Point, enough, for_certain, gained, order, points, sentences


def figure(value: float, margin: float | None = None, n: int | None = 100) -> Figure:
    low, high = (None, None) if margin is None else (value - margin, value + margin)
    return {"value": value, "low": low, "high": high, "n": n}


def point(bits: float, gain: float, margin: float = 0.01, page: str = "demo-groups") -> Point:
    return Point(page, f"g{bits}", bits, 100, figure(gain, margin), None)


def write(folder: Path, name: str, figures: dict[str, Any]) -> None:
    keys = {"command": "", "commit": "", "protocol": {}, "seeds": [7], "seconds": 1.0}
    folder.joinpath(f"{name}.json").write_text(
        json.dumps({"name": name, **keys, "figures": figures})
    )


def titles(svg: str) -> list[str]:
    """The tooltips of a picture, and its texts."""
    return re.findall(r"<(?:title|text)[^>]*>([^<]*)<", svg)


def test_page_and_picture_have_the_figures_of_the_results() -> None:
    wanted = difference.files()
    written = {path: path.read_text(encoding="utf-8") for path in wanted}
    page, picture = results.DIFFERENCE, difference.PICTURE
    remedy = "run `python -m docs._generate.difference`"
    assert written[page] == wanted[page], remedy
    assert titles(written[picture]) == titles(wanted[picture]), remedy


def test_every_comparison_of_groups_is_in_it() -> None:
    pages = {path.stem for path in results.RESULTS.glob("*-groups*.json")}
    assert {one.page for one in points()} == pages
    text = results.DIFFERENCE.read_text(encoding="utf-8")
    assert {name for name in pages if f"]({name}.md)" not in text} == set()


def test_a_group_is_a_point_with_the_gains_that_its_file_has(tmp_path: Path) -> None:
    shared = {"difference.b": figure(0.2, n=30), "gain.segment.b": figure(0.05, 0.01)}
    write(tmp_path, "demo-groups", {**shared, "gain.segment.all": figure(9.0)})
    write(tmp_path, "demo-groups-activity", {**shared, "gain.shrunk.b": figure(0.04)})
    write(tmp_path, "demo", {"teacher.ndcg@10": figure(0.5)})
    older, newer = sorted(points(tmp_path), key=lambda one: one.page)
    assert older == Point("demo-groups", "b", 0.2, 30, figure(0.05, 0.01), None)
    assert (newer.page, newer.shrunk) == ("demo-groups-activity", figure(0.04))


def test_where_the_presets_students_are_shrunk_the_trained_ones_are_the_variant(
    tmp_path: Path,
) -> None:
    gains = {"gain.segment.b": figure(0.03), "gain.unshrunk.b": figure(0.05)}
    write(tmp_path, "demo-groups", {"difference.b": figure(0.2), **gains})
    (one,) = points(tmp_path)
    assert (one.trained["value"], one.shrunk) == (0.05, figure(0.03))


def test_a_comparison_is_named_by_its_data_set_and_its_groups() -> None:
    assert difference.title_of("demo-groups") == "demo shop"
    assert difference.title_of("movielens-1m-groups-activity") == "MovieLens 1M, activity"
    assert results.title_of("demo-groups-activity") == "demo shop"


@pytest.mark.parametrize(
    ("gains", "reached"),
    [
        ([0.1, 0.2, 0.3], (1.0, 3)),
        ([-0.1, 0.2, 0.3], (2.0, 2)),
        ([0.1, -0.2, 0.3], (3.0, 1)),
        ([0.1, 0.2, -0.3], None),
        ([0.1, 0.2, 0.0], None),  # equal is no gain
    ],
)
def test_the_difference_that_is_enough_is_the_smallest_beyond_which_all_gain(
    gains: list[float], reached: tuple[float, int] | None
) -> None:
    listed = [point(float(bits), gain) for bits, gain in enumerate(gains, 1)]
    assert enough(listed, gained) == reached
    assert enough(listed[::-1], gained) == reached


def test_of_groups_that_differ_alike_all_have_to_gain() -> None:
    alike = [point(2.0, 0.1), point(2.0, -0.1), point(3.0, 0.1)]
    assert enough(alike, gained) == (3.0, 1)
    assert enough(alike[::-1], gained) == (3.0, 1)


def test_a_gain_is_certain_if_its_whole_interval_is_above_nothing() -> None:
    assert for_certain(point(1.0, 0.02, margin=0.01))
    assert not for_certain(point(1.0, 0.02, margin=0.03))
    assert not for_certain(Point("p", "g", 1.0, 1, figure(0.02), None))


def test_the_sentences_count_groups_and_name_what_was_not_enough() -> None:
    listed = [point(0.1, 0.02), point(0.2, -0.02), point(0.3, 0.005)]
    said = sentences(listed)
    assert said[0].startswith("Of 3 groups, 2 gained from a student of their own, 1 for certain")
    assert said[1] == "From 0.3000 bits on, every measured group has gained (1 group)."
    assert "the most different group (`g0.3` of demo shop, 0.3000 bits) has not" in said[2]
    assert len(said) == 3  # with one set of groups there is nothing over all


def test_within_and_over_all_are_told_apart() -> None:
    rising = [point(bits, 10 * bits) for bits in (0.1, 0.2, 0.3)]
    lower = [point(bits, bits, page="movielens-1m-groups") for bits in (0.7, 0.8, 0.9)]
    assert "over all they do not" in sentences([*rising, *lower])[-1]
    higher = [point(bits, 10 * bits, page="movielens-1m-groups") for bits in (0.7, 0.8, 0.9)]
    said = sentences([*rising, *higher])[-1]
    assert "within each set of groups (rank correlation +1.00 to +1.00)" in said
    falling = [point(bits, -bits, page="movielens-1m-groups") for bits in (0.7, 0.8, 0.9)]
    assert "does not order the gains" in sentences([*rising, *falling])[-1]
    assert "tend to gain more (rank correlation +0.50); over all they do not" in order([0.5], -0.5)


def test_slope_and_correlation_need_three_groups_that_differ() -> None:
    rising = [point(bits, 2 * bits - 0.1) for bits in (0.1, 0.2, 0.4)]
    assert difference.line(rising) == pytest.approx((2.0, -0.1))
    assert difference.correlation(rising) == pytest.approx(1.0)
    assert difference.line(rising[:2]) is None and difference.correlation(rising[:2]) is None
    equal = [point(0.1, gain) for gain in (0.1, 0.2, 0.3)]
    assert difference.line(equal) is None and difference.correlation(equal) is None
    row = difference.summary(rising).splitlines()[2]
    assert row == "| [demo shop](demo-groups.md) | 3 | 3 | 3 | +1.00 | +2.00 % |"


def test_shrunk_students_stand_beside_the_others_where_they_were_measured() -> None:
    trained = point(0.1, 0.02)
    both = Point("demo-groups", "b", 0.2, None, figure(0.05, 0.01), figure(0.04, 0.01))
    rows = difference.details([both, trained]).splitlines()[2:]
    assert rows[0].endswith("| +5.0 % [+4.0, +6.0] | +4.0 % [+3.0, +5.0] |")
    assert rows[1].endswith("| +2.0 % [+1.0, +3.0] | – |")
    shown = titles(difference.picture([both, trained]))
    assert "demo shop, b, shrunk: +4.0 % [+3.0, +5.0]" in shown
    assert not [text for text in shown if "g0.1, shrunk" in text]
    assert "demo shop, shrunk" not in titles(difference.picture([trained]))


def test_a_command_stays_on_one_line_of_a_paragraph() -> None:
    text = f"{'word ' * 22}`python -m docs._generate.difference` writes it."
    assert "\n`python -m docs._generate.difference` writes" in results.filled(text)
    assert results.filled(f"- {'word ' * 30}", "  ").splitlines()[1].startswith("  word")
