"""Two pictures as inline SVG, coloured by the page's style, so that they follow light and dark."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from decant.report.formats import duration, gain, percent
from decant.report.markup import Raw, join, tag
from decant.report.scores import Figure
from decant.report.style import SERIES

WIDTH = 560.0
LINE = 16.0  # least distance between two labels
LONGEST = 15  # characters of a name beside a picture
Scale = Callable[[float], float]


@dataclass(frozen=True)
class Point:
    """One model: p50 in microseconds; quality as a share of the teacher's on the same group.

    `hop` counts a student's hops from 0; the last of them is `served`.
    """

    name: str
    latency: float
    quality: float
    hop: int = 0
    served: bool = False


@dataclass(frozen=True)
class Row:
    """One segment's gain over the general student, on both windows; None if not measured.

    `number` is the student's in the other picture, which gives it the same colour.
    """

    name: str
    number: int
    ships: bool
    validation: Figure | None
    test: Figure | None


def trade_off(
    teacher: Point, students: dict[str, list[Point]], levels: dict[str, float], title: str
) -> Raw:
    """Quality against latency: a line through the hops of each student, the last one numbered.

    Args:
        students: by name, in the order of their hops.
        levels: models without a latency, by name: a horizontal line each.
    """
    height, left, right, top, bottom = 360.0, 62.0, 132.0, 16.0, 316.0
    points = [teacher, *(point for hops in students.values() for point in hops)]
    low, high = _padded([p.quality for p in points] + list(levels.values()), 0.06)
    fast, slow = min(p.latency for p in points) / 1.18, max(p.latency for p in points) * 1.12
    x, y = _log(fast, slow, left, WIDTH - right), _linear(low, high, bottom, top)
    horizontal = sorted({teacher.name: teacher.quality, **levels}.items(), key=lambda it: -it[1])
    shapes = [
        *_quality_axis(low, high, y, left, WIDTH - right),
        *_latency_axis(fast, slow, x, bottom, top),
        *_levels(horizontal, y, left, WIDTH - right),
        *_students(students, x, y),
        _marker("square", x(teacher.latency), y(teacher.quality), "teacher", _tell(teacher)),
    ]
    return _picture(shapes, height, title)


def gains(rows: Sequence[Row], margin: float, title: str) -> Raw:
    """Each segment's gain with its interval: validation decides (filled), test confirms."""
    band, left, right, top = 66.0, 84.0, 84.0, 26.0
    height = top + band * len(rows) + 48
    ends = [v for r in rows for f in (r.validation, r.test) if f for v in _ends(f)]
    low, high = _padded([0.0, -margin, *ends], 0.05)
    x = _linear(low, high, left, WIDTH - right)
    bottom = top + band * len(rows)
    shapes = []
    for tick in ticks(low, high, 6):
        shapes += [
            _line(x(tick), top, x(tick), bottom, "grid"),
            _text(x(tick), bottom + 20, f"{tick:+g}".replace("-", "−") if tick else "0", "middle"),
        ]
    shapes += [
        _line(x(0), top - 4, x(0), bottom, "axis"),
        _line(x(-margin), top - 4, x(-margin), bottom, "rule"),
        _text(x(-margin), top - 10, "−margin", "middle", "minor"),
        _text((left + WIDTH - right) / 2, bottom + 40, "gain in NDCG per user", "middle", "minor"),
    ]
    for number, row in enumerate(rows):
        shapes += _gain_row(row, top + band * number, x)
    return _picture(shapes, height, title)


def swatch(number: int) -> Raw:
    """A student's line in the legend: hops hollow, hollow, filled."""
    shapes = [
        _line(3, 7, 31, 7, "series"),
        _marker("circle", 6, 7, "hollow", "", 3.5),
        _marker("square", 17, 7, "hollow", "", 3.5),
        _marker("circle", 28, 7, "solid", "", 4.5),
    ]
    return tag("svg", join(shapes), viewBox="0 0 34 14", class_=series(number), aria_hidden="true")


def series(number: int) -> str:
    """The class that gives the colour of a student."""
    return f"s{number % SERIES}"


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round values within a range, evenly spaced, not more than `most`."""
    step = (high - low) / most
    size = 10 ** math.floor(math.log10(step))
    step = size * next(factor for factor in (1, 2, 5, 10) if factor * size >= step * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places near the wanted ones (ascending), at least `gap` apart, within bounds if they fit."""
    placed: list[float] = []
    for place in wanted:
        placed.append(max(place, placed[-1] + gap if placed else low))
    limit = high
    for number in reversed(range(len(placed))):
        placed[number] = min(placed[number], limit)
        limit = placed[number] - gap
    return placed


def _quality_axis(low: float, high: float, y: Scale, left: float, right: float) -> list[Raw]:
    shapes = [_line(left, y(low), left, y(high), "axis")]
    found = ticks(low, high, 7)
    digits = 0 if all(abs(100 * t - round(100 * t)) < 1e-6 for t in found) else 1
    for tick in found:
        shapes.append(_line(left, y(tick), right, y(tick), "grid"))
        shapes.append(_text(left - 6, y(tick) + 4, percent(tick, digits), "end"))
    return shapes


def _latency_axis(fast: float, slow: float, x: Scale, bottom: float, top: float) -> list[Raw]:
    shapes = [_line(x(fast), bottom, x(slow), bottom, "axis")]
    taken = -math.inf
    for tick in _log_ticks(fast, slow):
        shapes.append(_line(x(tick), bottom, x(tick), bottom + 5, "axis"))
        if x(tick) - taken > 58:
            shapes.append(_line(x(tick), bottom, x(tick), top, "grid"))
            shapes.append(_text(x(tick), bottom + 20, duration(tick), "middle"))
            taken = x(tick)
    middle = (x(fast) + x(slow)) / 2
    return [*shapes, _text(middle, bottom + 40, "p50 latency, log scale", "middle", "minor")]


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [factor * 10.0**power for power in powers for factor in (1, 1.5, 2, 3, 5, 7)]
    return [tick for tick in every if low <= tick <= high]


def _levels(levels: Sequence[tuple[str, float]], y: Scale, left: float, right: float) -> list[Raw]:
    shapes = []
    labels = spread([y(value) for _, value in levels], LINE, 10, 330)
    for (name, value), label in zip(levels, labels, strict=True):
        short = name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
        shapes += [
            _line(left, y(value), right, y(value), "rule"),
            _line(right, y(value), right + 8, label, "rule"),
            tag(
                "text",
                join([tag("title", f"{name}: {percent(value)}"), short]),
                x=_n(right + 12),
                y=_n(label + 4),
            ),
        ]
    return shapes


def _students(students: dict[str, list[Point]], x: Scale, y: Scale) -> list[Raw]:
    numbers = {name: number for number, name in enumerate(students)}
    shapes = []
    for name, hops in students.items():
        line = " ".join(f"{_n(x(p.latency))},{_n(y(p.quality))}" for p in hops)
        drawn = [tag("polyline", points=line, class_="series")]
        for point in hops:
            shape = "square" if point.hop % 2 and not point.served else "circle"
            size, kind = (6.0, "solid") if point.served else (4.5, "hollow")
            at = x(point.latency), y(point.quality)
            drawn.append(_marker(shape, *at, kind, _tell(point), size))
        shapes.append(tag("g", join(drawn), class_=series(numbers[name])))
    return [*shapes, *_numbers(students, numbers, x, y)]


def _numbers(
    students: dict[str, list[Point]], numbers: dict[str, int], x: Scale, y: Scale
) -> list[Raw]:
    last = sorted(((y(h[-1].quality), x(h[-1].latency), n) for n, h in students.items()))
    right = max((x(p.latency) for hops in students.values() for p in hops), default=0.0) + 22
    places = spread([at for at, _, _ in last], 15, 10, 330)
    shapes = []
    for (height, across, name), place in zip(last, places, strict=True):
        label = _text(right + 3, place + 4.5, str(numbers[name] + 1), "start", "label")
        leader = _line(across + 6, height, right, place, "series", width="1")
        shapes.append(tag("g", join([leader, label]), class_=series(numbers[name])))
    return shapes


def _gain_row(row: Row, top: float, x: Scale) -> list[Raw]:
    state = "ships" if row.ships else "general serves"
    shapes = [
        _text(4, top + 16, row.name, "start", "strong"),
        _text(WIDTH - 4, top + 16, state, "end", "strong" if row.ships else "minor"),
    ]
    windows = (("validation", row.validation, "solid"), ("test", row.test, "hollow"))
    for line, (window, figure, kind) in enumerate(windows):
        height = top + 33 + 19 * line
        shapes.append(_text(4, height + 4, window, "start", "minor"))
        shown = "not measured" if figure is None else gain(figure["value"])
        shapes.append(_text(WIDTH - 4, height + 4, shown, "end"))
        if figure is not None:
            shapes.append(_interval(figure, height, kind, row, x, window))
    return shapes


def _interval(figure: Figure, height: float, kind: str, row: Row, x: Scale, window: str) -> Raw:
    low, high = _ends(figure)
    tell = f"{row.name}, {window}: {gain(figure['value'])} ({gain(low)} to {gain(high)})"
    return tag(
        "g",
        join(
            [
                _line(x(low), height, x(high), height, "series"),
                _line(x(low), height - 4, x(low), height + 4, "series"),
                _line(x(high), height - 4, x(high), height + 4, "series"),
                _marker("circle", x(figure["value"]), height, kind, tell, 5),
            ]
        ),
        class_=series(row.number),
    )


def _ends(figure: Figure) -> tuple[float, float]:
    low, high = figure["low"], figure["high"]
    return figure["value"] if low is None else low, figure["value"] if high is None else high


def _padded(values: Sequence[float], share: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    pad = (high - low) * share or max(abs(high), 1e-3) * share
    return low - pad, high + pad


def _linear(low: float, high: float, start: float, end: float) -> Scale:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _log(low: float, high: float, start: float, end: float) -> Scale:
    linear = _linear(math.log(low), math.log(high), start, end)
    return lambda value: linear(math.log(value))


def _picture(shapes: list[Raw], height: float, title: str) -> Raw:
    return tag(
        "svg",
        join(shapes, "\n"),
        viewBox=f"0 0 {_n(WIDTH)} {_n(height)}",
        class_="picture",
        role="img",
        aria_label=title,
    )


def _marker(shape: str, x: float, y: float, kind: str, tell: str, size: float = 6.0) -> Raw:
    title = tag("title", tell) if tell else ""
    if shape == "circle":
        return tag("circle", title, cx=_n(x), cy=_n(y), r=_n(size), class_=kind)
    corner, side = {"x": _n(x - size), "y": _n(y - size)}, _n(2 * size)
    return tag("rect", title, **corner, width=side, height=side, class_=kind)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str, width: str = "") -> Raw:
    style = {"style": f"stroke-width:{width}"} if width else {}
    return tag("line", x1=_n(x1), y1=_n(y1), x2=_n(x2), y2=_n(y2), class_=kind, **style)


def _text(x: float, y: float, content: str, anchor: str, kind: str = "") -> Raw:
    kinds = {"class_": kind} if kind else {}
    return tag("text", content, x=_n(x), y=_n(y), text_anchor=anchor, **kinds)


def _tell(point: Point) -> str:
    return f"{point.name}: {percent(point.quality)} of the teacher, {duration(point.latency)}"


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
