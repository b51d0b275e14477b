"""The part of the page that sets quality against latency."""

from dataclasses import replace

from decant.evaluation.evaluate import ALL, HOPS, RELEASED
from decant.evaluation.lookup import divide, figure
from decant.features.sequences import TEST
from decant.params.types import TEACHER
from decant.report import formats, plots
from decant.report.evidence import Evidence, baselines, own_group
from decant.report.markup import Raw, join, paragraph, section, tag

SHOWN_BELOW = 0.12  # how far under the lowest model with a latency a baseline is still drawn
DRAWN = 3  # baselines at most, the best on test


def trade_off_section(evidence: Evidence) -> Raw:
    """The picture of quality against latency, with its legend."""
    heading = "Quality against latency"
    teacher = trade_off_point(evidence, TEACHER, TEACHER, ALL)
    if teacher is None:
        return section("trade-off", heading, paragraph("The teacher was not measured."))
    students = {name: hop_points(evidence, name) for name in evidence.students}
    students = {name: points for name, points in students.items() if points}
    levels = {
        name: value for name in baselines(evidence.metrics) if (value := level(evidence, name))
    }
    lowest = min([1.0, *(p.quality for points in students.values() for p in points)])
    near = {name: value for name, value in levels.items() if value > lowest - SHOWN_BELOW}
    near = dict(list(near.items())[:DRAWN])
    far = [f"{n} ({formats.percent(v, 0)})" for n, v in levels.items() if n not in near]
    k = evidence.metrics["k"]
    legend = (
        tag("li", join([plots.swatch(n), tag("b", str(n + 1)), f" {name}"]), class_=plots.series(n))
        for n, name in enumerate(students)
    )
    text = (
        f"NDCG@{k} on test as a share of the teacher's on the same users; p50 of single requests. "
        f"A line runs through one student's hops: {', '.join(HOPS)}; the last is filled and "
        "numbered. Dashed: the teacher, and traditional models on everybody"
        + (f"; not drawn: {', '.join(far)}." if far else ".")
    )
    alt = f"Quality against latency of the teacher and {len(students)} students, hop by hop; {text}"
    caption = tag("figcaption", text)
    drawn = plots.trade_off(teacher, students, near, alt)
    parts = [drawn, tag("ul", join(legend), class_="legend"), caption]
    return section("trade-off", heading, tag("figure", join(parts, "\n")))


def hop_points(evidence: Evidence, student: str) -> list[plots.Point]:
    """The hops of one student that were measured, on its own group."""
    group = own_group(evidence.metrics, student)
    found = []
    for number, hop in enumerate(HOPS):
        point = trade_off_point(evidence, f"{student}/{hop}", f"{student}, {hop}", group)
        if point is not None:
            found.append(replace(point, hop=number, served=hop == RELEASED))
    return found


def trade_off_point(evidence: Evidence, name: str, label: str, group: str) -> plots.Point | None:
    """Latency of one model, and its share of the teacher's quality."""
    latency = figure(evidence.metrics, "models", name, "latency_us", "p50")
    quality = level(evidence, name, group)
    return None if not latency or quality is None else plots.Point(label, latency, quality)


def level(evidence: Evidence, name: str, group: str = ALL) -> float | None:
    """NDCG of one model on a group as a share of the teacher's."""
    ours, teacher = (
        figure(evidence.metrics, "models", model, TEST, group, "ndcg") for model in (name, TEACHER)
    )
    return divide(ours, teacher)
