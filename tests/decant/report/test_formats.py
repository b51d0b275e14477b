"""Numbers for people."""

import pytest

from decant.report import formats


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (formats.quality(0.47689), "0.4769"),
        (formats.percent(1.0022), "100.2\u00a0%"),
        (formats.percent(-0.02, sign=True), "−2.0\u00a0%"),
        (formats.over(1.033), "+3.3\u00a0%"),
        (formats.over(0.98), "−2.0\u00a0%"),
        (formats.gain(0.0209), "+0.0209"),
        (formats.gain(-0.0209), "−0.0209"),
        (formats.times(13.99), "14.0×"),
        (formats.code("raise `a < b`, or `c`"), "raise <code>a &lt; b</code>, or <code>c</code>"),
        (formats.times(139.9), "140×"),
        (formats.size(999), "999 B"),
        (formats.size(132_386), "132 kB"),
        (formats.size(1_852_706), "1.85 MB"),
        (formats.size(5e12), "5000 GB"),
        (formats.duration(186.2), "186 µs"),
        (formats.duration(1862), "1.86 ms"),
        (formats.count(1234567), "1,234,567"),
    ],
)
def test_a_number_has_its_unit_and_a_sensible_precision(shown: str, text: str) -> None:
    assert shown == text


@pytest.mark.parametrize(
    "show",
    [
        formats.quality,
        formats.percent,
        formats.over,
        formats.gain,
        formats.times,
        formats.size,
        formats.duration,
        formats.count,
    ],
)
def test_a_missing_number_is_said_to_be_missing(show: object) -> None:
    assert show(None) == "not measured"  # type: ignore[operator]


@pytest.mark.parametrize(
    ("value", "threshold", "texts"),
    [
        (1.00582, 0.9, ("1.006", "0.9")),
        (1270, 1, ("1,270", "1")),
        (0.899999, 0.9, ("0.899999", "0.9")),
        (0.9, 0.9, ("0.9", "0.9")),
        (None, 2.0, ("not measured", "2")),
        (-0.02, 0.0, ("−0.02", "0")),
    ],
)
def test_a_value_can_be_told_from_its_threshold(
    value: float | None, threshold: float, texts: tuple[str, str]
) -> None:
    assert formats.distinguishable(value, threshold) == texts


def test_the_value_of_a_figure_is_its_value_or_missing() -> None:
    assert formats.value({"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}) == 0.5
    assert formats.value(None) is None
