"""The part of the page that goes hop by hop: teacher, distilled, pruned, int8, for each group."""

from collections.abc import Callable
from typing import Any

from decant.evaluation.evaluate import ALL, HOPS, RELEASED
from decant.evaluation.lookup import divide, figure
from decant.features.sequences import TEST
from decant.params.types import GENERAL, TEACHER
from decant.report import formats
from decant.report.evidence import Evidence, own_group
from decant.report.figures import dearest, family_bytes
from decant.report.markup import Block, Cells, Raw, code, join, paragraph, section, table, tag
from decant.report.scores import FAMILY, Figure, shipped

METRICS = ("ndcg", "hr", "precision", "recall", "coverage")


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
    together = len(shipped(verdict))
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
        f"{together} students together; p50 of the slowest"
        if together > 1
        else "general serves everybody",
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


def with_bounds(figure: Figure | None, show: Callable[[float], str]) -> Raw | str:
    """A figure, its interval below it."""
    if figure is None or figure["low"] is None or figure["high"] is None:
        return formats.NOT_MEASURED if figure is None else show(figure["value"])
    bounds = f"{show(figure['low'])} to {show(figure['high'])}"
    return join([show(figure["value"]), tag("small", bounds)])
