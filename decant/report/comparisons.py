"""The parts of the page that compare: group by group, with what is simple, with what is best."""

from typing import Any

from decant.evaluation.baselines import HYBRID
from decant.evaluation.evaluate import ALL, ORACLE, RELEASED
from decant.evaluation.lookup import divide, figure
from decant.features.sequences import TEST, VALIDATION
from decant.params.types import GENERAL, TEACHER
from decant.report import formats, plots
from decant.report.evidence import Evidence, baselines
from decant.report.hops import family_row, metric_columns, model_row, rule, with_bounds
from decant.report.markup import Cells, Raw, join, paragraph, section, table, tag
from decant.report.scores import Figure

WINDOWS = (VALIDATION, TEST)


def segments_section(evidence: Evidence) -> Raw:
    """What each segment gains by a student of its own, and who ships."""
    judged = evidence.verdict.get("segments", {})
    heading = "What a student of its own gives each group"
    if not judged:
        alone = set(evidence.students) == {GENERAL}
        why = (
            "There are no segments: general serves everybody."
            if alone
            else "Not measured: the verdict names no segment."
        )
        return section("segments", heading, paragraph(why))
    return section(
        "segments",
        heading,
        paragraph(
            "A segment's student ships if, on validation, it gains and the one-sided 95 % lower "
            f"bound of its gain is above −{evidence.margin:g} NDCG per user. Validation decides; "
            "test only confirms."
        ),
        gains_figure(evidence),
        gains_table(evidence),
    )


def gains_figure(evidence: Evidence) -> Raw:
    """The picture of each segment's gain."""
    judged = evidence.verdict["segments"]
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
    return tag("figure", join([picture, tag("figcaption", caption)], "\n"))


def gains_table(evidence: Evidence) -> Raw:
    """Each segment's gain in numbers, and who serves it."""
    columns = [
        "segment", "rule", "users", f"gain on {VALIDATION}", "lower bound", f"gain on {TEST}",
        "relative, on test", "served by", "why",
    ]  # fmt: skip
    judged = evidence.verdict["segments"]
    rows = [segment_row(evidence, name) for name in evidence.students if name in judged]
    caption = "Gain of each segment's student over general, NDCG per user, 95 % intervals"
    return table(caption, columns, rows, "wwnnnnnww")


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
        *(paragraph(line) for line in about_baselines(metrics)),
    )


def about_baselines(metrics: dict[str, Any]) -> list[str]:
    """What the hybrid is a mixture of, and which models were left out and why."""
    lines = [f"{name}: left out, {why}." for name, why in metrics.get("left_out", {}).items()]
    mixed = metrics.get("hybrid")
    if mixed:
        lines.insert(
            0,
            f"{HYBRID}: {mixed['weight']:.0%} of the scores of {mixed['first']}, the rest of "
            f"{mixed['second']}'s, standardised over the catalogue for each case. Both and the "
            "share are chosen on the half of validation that picks.",
        )
    return lines


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


def bar(share: float | None) -> Raw:
    """A share as a bar; the number stands beside it."""
    width = 0.0 if share is None else min(max(share, 0.0), 1.0)
    inner = tag("i", style=f"width:{100 * width:.1f}%")
    return tag("span", inner, class_="bar", aria_hidden="true")
