"""Colours that can be read, in the light and in the dark."""

import re

import pytest

from decant.report.style import DARK, LIGHT, SERIES, STYLE


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_text_stands_out_from_what_is_behind_it(theme: str) -> None:
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", theme))
    pairs = [("ink", "page"), ("ink", "raised"), ("soft", "page"), ("soft", "raised")]
    pairs += [("good", "good-page"), ("bad", "bad-page"), ("ink", "good-page")]
    pairs += [("ink", "bad-page"), ("link", "page"), ("good", "page"), ("bad", "page")]
    pairs += [(f"c{number}", "page") for number in range(SERIES)]
    for text, behind in pairs:
        assert contrast(colours[text], colours[behind]) >= 4.5, (text, behind)


def test_both_themes_name_the_same_colours_and_the_rules_use_no_other() -> None:
    light, dark = (set(re.findall(r"(--[\w-]+):", theme)) for theme in (LIGHT, DARK))
    assert light == dark
    assert set(re.findall(r"var\((--[\w-]+)\)", STYLE)) <= light | {"--c"}
    assert STYLE.count("{") == STYLE.count("}")
