"""The plot of quality against latency, and its caption."""

from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from matplotlib.ticker import LogLocator, NullLocator

from decant.evaluation.evaluate import ALL, HOPS, RELEASED
from decant.evaluation.lookup import divide, figure
from decant.features.sequences import TEST
from decant.params.types import TEACHER
from decant.report import formats, plots
from decant.report.evidence import Evidence, baselines, own_group
from decant.report.segments import serves_its_group

LOWEST = 0.12  # traditional models this far below the lowest model with a latency are still drawn
DRAWN = 3  # traditional models drawn at most, the best on test


@dataclass(frozen=True)
class Point:
    """One model: p50 in microseconds; quality as a share of the teacher's on the same group."""

    name: str
    latency: float
    quality: float
    released: bool = False


@dataclass(frozen=True)
class TradeOff:
    """The plot as SVG, and its caption."""

    picture: str
    caption: str


def trade_off(evidence: Evidence) -> TradeOff | None:
    """Quality against latency; None without the teacher's quality and latency."""
    teacher = point(evidence, TEACHER, TEACHER, ALL)
    if teacher is None:
        return None
    students = {name: step_points(evidence, name) for name in evidence.students}
    near, far = levels(evidence, [p.quality for points in students.values() for p in points])
    shares = ", ".join(f"{name} ({formats.percent(value, 0)})" for name, value in far.items())
    caption = (
        f"NDCG@{evidence.metrics['k']} on test as a share of the teacher's on the same users; p50 "
        f"of single requests. A line runs through one student's compression steps, "
        f"{', '.join(HOPS)}; a released model is filled. Dashed: the teacher, and traditional "
        f"models on all users{f'; not drawn: {shares}' if shares else ''}."
    )
    measured = sum(map(bool, students.values()))
    title = f"Quality against latency of the teacher and {measured} students"
    return TradeOff(picture(teacher, students, near, title, caption), caption)


def levels(evidence: Evidence, qualities: list[float]) -> tuple[dict[str, float], dict[str, float]]:
    """Drawn and other traditional models, with their share of the teacher's NDCG."""
    shares = {name: quality(evidence, name, ALL) for name in baselines(evidence.metrics)}
    known = {name: share for name, share in shares.items() if share is not None}
    lowest = min([1.0, *qualities]) - LOWEST
    near = dict([item for item in known.items() if item[1] > lowest][:DRAWN])
    return near, {name: share for name, share in known.items() if name not in near}


def step_points(evidence: Evidence, student: str) -> list[Point]:
    """The measured compression steps of one student, on its own group."""
    group = own_group(evidence.metrics, student)
    points = {h: point(evidence, f"{student}/{h}", f"{student}, {h}", group) for h in HOPS}
    serves = serves_its_group(evidence.verdict, student)
    return [replace(p, released=serves and hop == RELEASED) for hop, p in points.items() if p]


def point(evidence: Evidence, name: str, label: str, group: str) -> Point | None:
    """Latency of one model, and its share of the teacher's quality."""
    latency = figure(evidence.metrics, "models", name, "latency_us", "p50")
    share = quality(evidence, name, group)
    return None if not latency or share is None else Point(label, latency, share)


def quality(evidence: Evidence, name: str, group: str) -> float | None:
    """NDCG of one model on a group as a share of the teacher's."""
    ours, teacher = (
        figure(evidence.metrics, "models", model, TEST, group, "ndcg") for model in (name, TEACHER)
    )
    return divide(ours, teacher)


def picture(
    teacher: Point,
    students: dict[str, list[Point]],
    levels: dict[str, float],
    title: str,
    description: str,
) -> str:
    """Quality against latency: a line through each student's compression steps.

    Args:
        students: by name, in the order of their steps; released models are filled.
        levels: quality by name of models without a latency, drawn as horizontal lines.
    """

    def draw(sheet: Sheet) -> None:
        axes = sheet.subplots()
        axes.set_xscale("log")
        for number, points in enumerate(students.values()):
            draw_steps(axes, points, number)
        draw_levels(axes, {teacher.name: teacher.quality, **levels})
        tip = plots.TIP + describe(teacher)
        axes.plot(teacher.latency, teacher.quality, "s", color=plots.INK, zorder=3, gid=tip)
        axes.margins(x=0.12)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: formats.duration(value))
        axes.yaxis.set_major_formatter(lambda value, _: formats.percent(value, 0))
        axes.set_xlabel("p50 latency, log scale")
        axes.set_ylabel("NDCG, share of the teacher's")
        names = enumerate(students)
        plots.legend(sheet, [(plots.short(n), plots.marks(i)) for i, n in names if students[n]])

    return plots.svg((plots.WIDTH, 4.0 + 0.1 * len(students)), draw, title, description)


def draw_steps(axes: Axes, points: list[Point], number: int) -> None:
    """One student's compression steps."""
    across = [point.latency for point in points], [point.quality for point in points]
    axes.plot(*across, color=plots.colour(number), linewidth=1.5)
    for point in points:
        style = plots.marks(number, hollow=not point.released, tip=describe(point))
        axes.plot(point.latency, point.quality, **style)


def describe(point: Point) -> str:
    """Tooltip text of a model."""
    share, time = formats.percent(point.quality), formats.duration(point.latency)
    return f"{point.name}: {share} of the teacher, {time}"


def draw_levels(axes: Axes, levels: dict[str, float]) -> None:
    """A horizontal line for each model, its name at the right end."""
    ascending = sorted(levels.items(), key=lambda item: item[1])
    for _, value in ascending:
        axes.axhline(value, **plots.RULE)
    low, high = axes.get_ylim()
    places = plots.spread([value for _, value in ascending], 0.05 * (high - low), low, high)
    arrow = {"arrowstyle": "-", "color": plots.SOFT, "linewidth": 0.9, "shrinkA": 2}
    for (name, value), place in zip(ascending, places, strict=True):
        axes.annotate(
            plots.short(name), (1, value), (1.04, place), ("axes fraction", "data"), va="center",
            arrowprops=arrow, annotation_clip=False,
            gid=f"{plots.TIP}{name}: {formats.percent(value)}",
        )  # fmt: skip
