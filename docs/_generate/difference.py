"""How different a user group must be before a student of its own pays: a plot and a page.

A point per group of each comparison in docs/results. Run: `python -m docs._generate.difference`
writes both, after new results of user groups.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from scipy.stats import spearmanr

from benchmarks.experiments.groups_page import shown
from benchmarks.experiments.variants import SEGMENT
from decant.report import plots
from decant.report.results import Figure, read
from docs._generate.results import DATA_SETS, DIFFERENCE, MEASURED, RESULTS, filled, noted
from docs._generate.schema import table

PICTURE = DIFFERENCE.with_suffix(".svg")
TITLE = "Gain from a student of its own, by how different a group is"
GROUPS = "-groups"  # in the names of comparisons
SHRUNK, UNSHRUNK = "shrunk", "unshrunk"  # one of them stands beside the preset's own variant
FEWEST = 3  # groups for a correlation or a line
STEP = 0.01  # bits, of the slopes
BESIDE = 0.0006  # bits between the two points of a group

INTRODUCTION = (
    "One point per user group of each comparison: across, how far the group's items differ from "
    "all others' (Jensen-Shannon divergence of the items in training events, in bits); upwards, "
    "the gain in NDCG of the group's own student over the general one on the test window, with its "
    "95 % interval. Hollow points are the same students shrunk towards general, where that was "
    "measured. A dashed line is fitted to the filled points of one set of groups, the grey one to "
    "all."
)
ENDING = (
    "The difference is estimated from counts, so a small group looks more different than a large "
    "one of the same taste. The figures describe what was measured and choose nothing: whether a "
    "group gets a student of its own is decided by the gate, on validation. `python -m "
    "docs._generate.difference` writes this page."
)


@dataclass(frozen=True)
class Point:
    """One group: its difference in bits, its number of users, and the gains of its own student, as
    `trained` and, where measured, `shrunk`."""

    page: str
    group: str
    difference: float
    users: int | None
    trained: Figure
    shrunk: Figure | None


def points(folder: Path = RESULTS) -> list[Point]:
    """The groups of all comparisons in a folder, the most different first."""
    pages = sorted(folder.glob(f"*{GROUPS}*.json"))
    return sorted((p for page in pages for p in points_of(page)), key=lambda p: -p.difference)


def points_of(path: Path) -> list[Point]:
    """The groups of one comparison."""
    figures: dict[str, Figure] = read(path)["figures"]
    trained, shrunk = SEGMENT, SHRUNK
    if any(name.startswith(f"gain.{UNSHRUNK}.") for name in figures):
        trained, shrunk = UNSHRUNK, SEGMENT  # the preset's own students are shrunk ones
    differences = {n.split(".", 1)[1]: f for n, f in figures.items() if n.startswith("difference.")}
    return [
        Point(
            path.stem, group, one["value"], one["n"],
            figures[f"gain.{trained}.{group}"], figures.get(f"gain.{shrunk}.{group}"),
        )
        for group, one in differences.items()
    ]  # fmt: skip


def by_page(listed: Sequence[Point]) -> dict[str, list[Point]]:
    """Points by their page."""
    names = sorted({point.page for point in listed})
    return {name: [point for point in listed if point.page == name] for name in names}


def title_of(page: str) -> str:
    """A comparison in words: `MovieLens 1M`, `demo shop, activity`."""
    data_set, _, kind = page.partition(GROUPS)
    return DATA_SETS.get(data_set, data_set) + kind.replace("-", ", ", 1)


def gained(point: Point) -> bool:
    """Whether the group's own student as trained ranks better than general."""
    return point.trained["value"] > 0


def for_certain(point: Point) -> bool:
    """Whether the whole interval of the gain is above 0."""
    return (point.trained["low"] or 0.0) > 0


def correlation(listed: Sequence[Point]) -> float | None:
    """Spearman's rank correlation of difference and gain; None of too few points or equal ones."""
    differ, gains = coordinates(listed)
    if len(listed) < FEWEST or not np.ptp(differ) or not np.ptp(gains):
        return None
    return float(spearmanr(differ, gains).statistic)


def line(listed: Sequence[Point]) -> tuple[float, float] | None:
    """Slope per bit and intercept of the gain by least squares; None as of `correlation`."""
    differ, gains = coordinates(listed)
    if len(listed) < FEWEST or not np.ptp(differ):
        return None
    slope, intercept = np.polyfit(differ, gains, 1)
    return float(slope), float(intercept)


def coordinates(listed: Sequence[Point]) -> tuple[np.ndarray, np.ndarray]:
    """Differences and gains as trained, float [P] each."""
    return (
        np.array([point.difference for point in listed]),
        np.array([point.trained["value"] for point in listed]),
    )


def enough(listed: Sequence[Point], pays: Callable[[Point], bool]) -> tuple[float, int] | None:
    """The smallest difference from which on all groups pay, and their number; None if the most
    different does not."""
    last = None
    for difference in sorted({point.difference for point in listed}, reverse=True):
        group = [point for point in listed if point.difference >= difference]
        if not all(map(pays, group)):
            break
        last = difference, len(group)
    return last


def picture(listed: Sequence[Point]) -> str:
    """Gain against difference, a colour per comparison; an SVG."""
    pages = by_page(listed)

    def draw(sheet: Sheet) -> None:
        axes = sheet.subplots()
        axes.axhline(0, color=plots.SOFT, linewidth=0.9)
        add_line(axes, listed, plots.SOFT, "-")
        for number, group in enumerate(pages.values()):
            add_line(axes, group, plots.colour(number), "--")
            for point in group:
                add_point(axes, point, number)
        axes.set_xlabel("difference of the group's items from all others', bits")
        axes.set_ylabel("gain in NDCG over the general student, %")
        named = [(title_of(page), plots.marks(n)) for n, page in enumerate(pages)]
        hollow = [
            (f"{title_of(page)}, shrunk", plots.marks(number, hollow=True))
            for number, (page, group) in enumerate(pages.items())
            if any(point.shrunk for point in group)
        ]
        plots.legend(sheet, [*named, *hollow])

    return plots.svg((8, 5), draw, TITLE, standalone=True)


def add_line(axes: Axes, listed: Sequence[Point], colour: str, style: str) -> None:
    """Draw the fitted line from the least to the most different group."""
    if (fitted := line(listed)) is None:
        return
    slope, intercept = fitted
    ends = [min(p.difference for p in listed), max(p.difference for p in listed)]
    heights = [100 * (intercept + slope * end) for end in ends]
    axes.plot(ends, heights, color=colour, linewidth=0.9, linestyle=style)


def add_point(axes: Axes, point: Point, number: int) -> None:
    """Draw the gain of a group's own student, and of the shrunk one beside it."""
    for gain, kind, beside in ((point.trained, "", 0.0), (point.shrunk, ", shrunk", BESIDE)):
        if gain is None:
            continue
        tip = f"{title_of(point.page)}, {point.group}{kind}: {shown(gain)}"
        place, hollow = point.difference + beside, bool(kind)
        plots.interval(axes, gain, place, number, scale=100, upright=True, hollow=hollow, tip=tip)


def sentences(listed: Sequence[Point]) -> list[str]:
    """What the points say, a sentence each."""
    count, sets = len(listed), by_page(listed)
    rises = [value for one in sets.values() if (value := correlation(one)) is not None]
    over_all = correlation(listed)
    said = [
        f"Of {count} groups, {sum(map(gained, listed))} gained from a student of their own, "
        f"{sum(map(for_certain, listed))} for certain (the whole interval is above 0).",
        threshold(listed, gained, "gained"),
        threshold(listed, for_certain, "gained for certain"),
    ]
    if over_all is not None and len(sets) > 1 and rises:
        said.append(order(rises, over_all))
    return said


def threshold(listed: Sequence[Point], pays: Callable[[Point], bool], what: str) -> str:
    """From which difference on all groups pay, in words."""
    reached = enough(listed, pays)
    if reached is None:
        most = max(listed, key=lambda point: point.difference)
        return (
            f"No difference was enough for all beyond it to have {what}: the most different group "
            f"(`{most.group}` of {title_of(most.page)}, {most.difference:.4f} bits) has not."
        )
    difference, count = reached
    groups = f"{count} group{'s' * (count != 1)}"
    return f"From {difference:.4f} bits on, every measured group has {what} ({groups})."


def order(rises: Sequence[float], over_all: float) -> str:
    """Whether more different groups gain more, within the sets of groups and over all."""
    within = signed(min(rises))
    if len(rises) > 1:
        within += f" to {signed(max(rises))}"
    if min(rises) > 0 and over_all > 0:
        return (
            "More different groups tend to gain more, within each set of groups (rank correlation "
            f"{within}) and over all ({signed(over_all)})."
        )
    if min(rises) > 0:
        return (
            "Within each set of groups more different groups tend to gain more (rank correlation "
            f"{within}); over all they do not ({signed(over_all)}): a difference that pays on one "
            "data set need not pay on another."
        )
    return (
        "The difference does not order the gains: its rank correlation with them is "
        f"{within} within the sets of groups, {signed(over_all)} over all."
    )


def signed(value: float) -> str:
    """A correlation, or a gain in percent."""
    return minus(f"{value:+.2f}")


def minus(text: str) -> str:
    """A text with minus signs in place of hyphens."""
    return text.replace("-", "\N{MINUS SIGN}")


def summary(listed: Sequence[Point]) -> str:
    """A row for each comparison and one for all: groups, gains, correlation, slope; in Markdown."""
    sets = {f"[{title_of(page)}]({page}.md)": one for page, one in by_page(listed).items()}
    rows = []
    for name, one in {**sets, "all": list(listed)}.items():
        rises, fitted = correlation(one), line(one)
        rows.append(
            (
                name,
                str(len(one)),
                str(sum(map(gained, one))),
                str(sum(map(for_certain, one))),
                "–" if rises is None else signed(rises),
                "–" if fitted is None else f"{signed(100 * STEP * fitted[0])} %",
            )
        )
    head = ("groups of", "groups", "gained", "for certain", "rank correlation",
            f"gain per {STEP:g} bits")  # fmt: skip
    return table(head, rows)


def details(listed: Sequence[Point]) -> str:
    """A row for each group, the most different first; in Markdown."""
    rows = [
        (
            f"`{point.group}`",
            title_of(point.page),
            "–" if point.users is None else f"{point.users:,}",
            f"{point.difference:.4f}",
            *(
                "–" if gain is None else minus(shown(gain))
                for gain in (point.trained, point.shrunk)
            ),
        )
        for point in listed
    ]
    return table(("group", "of", "users", "difference, bits", "gain", "gain, shrunk"), rows)


def page(listed: Sequence[Point]) -> str:
    """The page in Markdown."""
    said = [filled(f"- {sentence}", "  ") for sentence in sentences(listed)]
    parts = [
        "# How different must a group be?",
        filled(INTRODUCTION),
        MEASURED,
        f"![{TITLE}]({PICTURE.name})",
        "\n".join(said),
        summary(listed),
        details(listed),
        filled(ENDING),
    ]
    return noted(DIFFERENCE, "\n\n".join(parts) + "\n")


def files() -> dict[Path, str]:
    """The page and the picture, as they should be."""
    listed = points()
    return {DIFFERENCE: page(listed), PICTURE: picture(listed)}


if __name__ == "__main__":
    for place, content in files().items():
        place.write_text(content, encoding="utf-8")
        print(f"wrote {place.name}")
