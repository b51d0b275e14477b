"""The parts of the page about models: hop by hop, by group, against what is simple and perfect."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from decant.evaluation.evaluate import ALL, HOPS, ORACLE, RELEASED
from decant.features.sequences import TEST, VALIDATION
from decant.params import GENERAL, TEACHER
from decant.release.gate import divide, figure
from decant.report import formats, plots
from decant.report.evidence import Evidence, baselines, own_group
from decant.report.figures import dearest, family_bytes
from decant.report.markup import Block, Raw, code, join, paragraph, section, table, tag
from decant.report.scores import FAMILY, Figure, shipped

METRICS = ("ndcg", "hr", "precision", "recall", "coverage")
SHOWN_BELOW = 0.12  # how far under the lowest model with a latency a baseline is still drawn
Cells = list[Raw | str]


def metric_columns(k: int) -> list[str]:
    """Headings of the metrics."""
    return [f"NDCG@{k}", "of the teacher", f"HR@{k}", f"precision@{k}", f"recall@{k}", "coverage"]


def hops_section(evidence: Evidence) -> Raw:
    """Teacher → distilled → pruned → int8 for everybody and for each student's group."""
    blocks = [everybody_block(evidence)]
    blocks += [student_block(evidence, student) for student in evidence.students]
    columns = ["model", *metric_columns(evidence.metrics["k"]), "size", "p50", "what was done"]
    return section(
        "hops",
        "What each hop cost",
        paragraph(
            "Test window. Each student is measured on the users it is for, beside the teacher on "
            "the same users. What serves them is in bold; the range below a share is its 95 % "
            "interval, users resampled."
        ),
        table("Quality and cost of every model, hop by hop", columns, blocks, "wnnnnnnnnw"),
    )


def everybody_block(evidence: Evidence) -> Block:
    """Teacher, general and the family, on all users."""
    rows = [model_row(evidence, TEACHER, TEACHER, ALL)]
    for hop in HOPS:
        rows.append(model_row(evidence, f"{GENERAL}/{hop}", f"{GENERAL}, {hop}", ALL))
    rows.append(family_row(evidence))
    heading = join(["Everybody", cases_of(evidence, ALL)])
    return Block(heading, rows, [""] * (len(rows) - 1) + ["released"])


def student_block(evidence: Evidence, student: str) -> Block:
    """One student's way on its own group."""
    group = own_group(evidence.metrics, student)
    heading = join(
        [
            tag("b", student),
            ": ",
            rule(evidence, student),
            cases_of(evidence, group),
            f"; {served_by(evidence, student)}",
        ]
    )
    rows = [model_row(evidence, TEACHER, TEACHER, group)]
    if any(f"{student}/{hop}" in evidence.metrics["models"] for hop in HOPS):
        for hop in HOPS:
            told = evidence.retention.get(student) if hop == RELEASED else None
            note = hop_note(evidence.hops.get(student, {}), hop)
            rows.append(model_row(evidence, f"{student}/{hop}", hop, group, note, told))
    if not serves(evidence, student):
        released = f"{GENERAL}/{RELEASED}"
        note = "serves this group"
        rows.append(model_row(evidence, released, f"{GENERAL}, {RELEASED}", group, note))
    return Block(heading, rows, [""] * (len(rows) - 1) + ["released"])


def serves(evidence: Evidence, student: str) -> bool:
    """Does a student serve the group it is for?"""
    judged = evidence.verdict.get("segments", {}).get(student, {})
    return student == GENERAL or bool(judged.get("ships"))


def model_row(
    evidence: Evidence,
    name: str,
    label: str,
    group: str,
    note: str = "",
    retention: Figure | None = None,
) -> Cells:
    """One model on one group."""
    at = ("models", name, TEST, group)
    values = {metric: figure(evidence.metrics, *at, metric) for metric in METRICS}
    of_teacher = divide(
        values["ndcg"], figure(evidence.metrics, "models", TEACHER, *at[2:], "ndcg")
    )
    return [
        label,
        formats.quality(values["ndcg"]),
        with_bounds(retention, formats.percent) if retention else formats.percent(of_teacher),
        *(formats.quality(values[metric]) for metric in METRICS[1:-1]),
        formats.percent(values["coverage"]),
        formats.size(figure(evidence.metrics, "models", name, "bytes")),
        formats.duration(figure(evidence.metrics, "models", name, "latency_us", "p50")),
        note,
    ]


def family_row(evidence: Evidence) -> Cells:
    """The family as released, on everybody."""
    metrics, verdict = evidence.metrics, evidence.verdict
    at = ("family", TEST, ALL)
    hits = figure(verdict, *at, "hr")
    retention = evidence.retention.get(FAMILY)
    return [
        "family, as released",
        formats.quality(figure(verdict, *at, "ndcg")),
        with_bounds(retention, formats.percent),
        formats.quality(hits),
        formats.quality(divide(hits, float(metrics["k"]))),
        formats.quality(hits),
        formats.percent(evidence.coverage),
        formats.size(family_bytes(metrics, verdict)),
        formats.duration(dearest(metrics, verdict, "latency_us", "p50")),
        f"{len(shipped(verdict))} students together; p50 of the slowest",
    ]


def hop_note(hops: dict[str, Any], hop: str) -> str:
    """What compression did, in words."""
    done = hops.get(hop, {})
    if "taken" not in done:
        return ""
    if not done["taken"]:
        return "lost too much and was not taken: as the hop before"
    if "hidden_kept" in done:
        return (
            f"kept {formats.percent(done['heads_kept'], 0)} of heads, "
            f"{formats.percent(done['hidden_kept'], 0)} of hidden units; "
            f"{formats.count(done['parameters'])} parameters"
        )
    return f"{done.get('weights', hop)} weights"


def rule(evidence: Evidence, student: str) -> Raw:
    """Who a student is for."""
    where = evidence.students[student].where
    return code(where) if where else Raw("whoever no rule matches")


def cases_of(evidence: Evidence, group: str) -> str:
    """How many users a group has, and how many cases they were tested on."""
    users = figure(evidence.metrics, "groups", group, "users")
    cases = figure(evidence.metrics, "groups", group, f"{TEST}_cases")
    return f" ({formats.count(users)} users, {formats.count(cases)} test cases)"


def served_by(evidence: Evidence, student: str) -> str:
    """Whether a student ships."""
    judged = evidence.verdict.get("segments", {}).get(student)
    if student == GENERAL:
        return "ships always"
    if judged is None:
        return "not judged"
    return "ships" if judged["ships"] else f"general serves, {judged['reason']}"


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
        + (f"; below the picture: {', '.join(far)}." if far else ".")
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


def segments_section(evidence: Evidence) -> Raw:
    """What each segment gains by a student of its own, and who ships."""
    judged = evidence.verdict.get("segments", {})
    heading = "What a student of its own gives each group"
    if not judged:
        return section("segments", heading, paragraph("There are no segments: general serves all."))
    names = [name for name in evidence.students if name in judged]
    rows = [
        plots.Row(
            name, number, judged[name]["ships"], *(gain_of(evidence, name, w) for w in WINDOWS)
        )
        for number, name in enumerate(evidence.students)
        if name in judged
    ]
    alt = "Gain of each segment's student over general on validation and test; values in the table"
    caption = (
        "Gain over the general student on the same users, with its two-sided 95 % interval. "
        "Filled: validation, on the half of its users that picked nothing. Hollow: test."
    )
    picture = plots.gains(rows, evidence.margin, alt)
    columns = [
        "segment", "rule", "users", f"gain on {VALIDATION}", "lower bound", f"gain on {TEST}",
        "relative, on test", "served by", "why",
    ]  # fmt: skip
    return section(
        "segments",
        heading,
        paragraph(
            "A segment's student ships if, on validation, it gains and the one-sided 95 % lower "
            f"bound of its gain is above −{evidence.margin:g} NDCG per user. Validation decides; "
            "test only confirms."
        ),
        tag("figure", join([picture, tag("figcaption", caption)], "\n")),
        table(
            "Gain of each segment's student over general, NDCG per user, 95 % intervals",
            columns,
            [segment_row(evidence, name) for name in names],
            "wwnnnnnww",
        ),
    )


WINDOWS = (VALIDATION, TEST)


def segment_row(evidence: Evidence, name: str) -> Cells:
    """One segment: gain, bound, and who serves it."""
    judged = evidence.verdict["segments"][name]
    general, own = (
        figure(evidence.metrics, "models", f"{student}/{RELEASED}", TEST, name, "ndcg")
        for student in (GENERAL, name)
    )
    relative = divide(own, general)
    return [
        name,
        rule(evidence, name),
        formats.count(judged.get("users")),
        with_bounds(gain_of(evidence, name, VALIDATION), formats.gain),
        formats.gain(judged.get("lower_bound")),
        with_bounds(gain_of(evidence, name, TEST), formats.gain),
        formats.percent(None if relative is None else relative - 1, sign=True),
        tag("span", name, class_="pass") if judged["ships"] else GENERAL,
        str(judged["reason"]),
    ]


def gain_of(evidence: Evidence, segment: str, window: str) -> Figure | None:
    """Gain of a segment's student over general."""
    return evidence.decisions.get(segment, {}).get(window)


def baselines_section(evidence: Evidence) -> Raw:
    """The traditional models on everybody, the teacher and the family for comparison."""
    metrics, best = evidence.metrics, evidence.verdict.get("best_baseline")
    rows = []
    for name in baselines(metrics):
        row = model_row(evidence, name, name, ALL)[:7]
        rows.append([join([name, tag("small", "best on validation")]) if name == best else name,
                     formats.quality(figure(metrics, "models", name, VALIDATION, ALL, "ndcg")),
                     *row[1:]])  # fmt: skip
    k = metrics["k"]
    for label, value in (
        (TEACHER, figure(metrics, "models", TEACHER, VALIDATION, ALL, "ndcg")),
        ("family, as released", figure(evidence.verdict, "family", VALIDATION, ALL, "ndcg")),
    ):
        full = model_row(evidence, label, label, ALL) if label == TEACHER else family_row(evidence)
        rows.append([label, formats.quality(value), *full[1:7]])
    columns = ["model", f"NDCG@{k} on validation", *metric_columns(k)]
    return section(
        "baselines",
        "Traditional models",
        paragraph(
            "Fitted on the training events alone, ranked like every other model. The best of them "
            "on validation is the bar. All numbers but the first column's are of the test window, "
            "on everybody."
        ),
        table("Traditional models on everybody", columns, rows),
    )


def oracle_section(evidence: Evidence) -> Raw:
    """What share of the best possible quality each model reaches."""
    heading = "How much of the best possible"
    if not evidence.oracle:
        return section(
            "oracle",
            heading,
            paragraph("Not measured: only the demo's law is known, real behaviour's is not."),
        )
    rows: list[Cells] = []
    for reached in evidence.oracle:
        best = figure(evidence.metrics, "models", ORACLE, TEST, reached.group, "ndcg")
        value = None if reached.share is None else reached.share["value"]
        rows.append(
            [
                reached.name.replace("/", ", "),
                with_bounds(reached.share, formats.percent),
                bar(value),
                "everybody" if reached.group == ALL else reached.group,
                formats.quality(best),
            ]
        )
    columns = ["model", "reached", "0 to 100 %", "on", "best possible"]
    return section(
        "oracle",
        heading,
        paragraph(
            "The demo's behaviour is drawn from a known law, so the best ranking that anybody "
            "could make is known as well. Nobody reaches more than 100 % but by luck. Test window."
        ),
        table("Share of the best possible NDCG", columns, rows, "wnwwn"),
    )


def with_bounds(figure: Figure | None, show: Callable[[float], str]) -> Raw | str:
    """A figure, its interval below it."""
    if figure is None or figure["low"] is None or figure["high"] is None:
        return formats.NOT_MEASURED if figure is None else show(figure["value"])
    bounds = f"{show(figure['low'])} to {show(figure['high'])}"
    return join([show(figure["value"]), tag("small", bounds)])


def bar(share: float | None) -> Raw:
    """A share as a bar; the number stands beside it."""
    width = 0.0 if share is None else min(max(share, 0.0), 1.0)
    inner = tag("i", style=f"width:{100 * width:.1f}%")
    return tag("span", inner, class_="bar", aria_hidden="true")
