"""Gain of each segment's own student over general, and the student that serves the segment."""

from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet

from decant.evaluation.evaluate import RELEASED
from decant.evaluation.lookup import divide, figure
from decant.features.sequences import TEST, VALIDATION
from decant.params.types import GENERAL
from decant.report import formats, plots
from decant.report.evidence import Evidence
from decant.report.results import Figure
from decant.report.scores import serving

GAINS_CAPTION = (
    "Gain over the general student on the same users, with its two-sided 95 % interval. "
    "Filled: the deciding users of validation. Hollow: all users of test."
)


@dataclass(frozen=True)
class SegmentRow:
    """One segment; gains of its own student over general in NDCG per user, None if not measured.

    `margin`: the loss tolerated, NDCG per user. `relative`: NDCG on test, own ÷ general. `number`
    determines the student's colour in all plots.
    """

    name: str
    number: int
    where: str | None
    users: float | None
    deciding: float | None
    validation: Figure | None
    lower_bound: float | None
    margin: float | None
    test: Figure | None
    relative: float | None
    accepted: bool
    merged: bool
    reason: str


@dataclass(frozen=True)
class VariantRow:
    """One variant: the student that serves its users, the gain over general on the decision users
    of validation and on test, NDCG per user, and its costs; None if not measured."""

    name: str
    serving: str
    gain: float | None
    lower_bound: float | None
    test: float | None
    multiply_adds: float | None
    bytes: float | None
    reason: str


@dataclass(frozen=True)
class GroupRow:
    """The family on one group's deciding users: means of NDCG, ratios and their lower bounds to the
    teacher (`retention`) and the best traditional model (`lift`); None if not measured."""

    name: str
    users: float | None
    family: float | None
    teacher: float | None
    best: float | None
    retention: float | None
    retention_bound: float | None
    lift: float | None
    lift_bound: float | None


def group_rows(evidence: Evidence) -> list[GroupRow]:
    """The groups, all users first."""
    return [
        GroupRow(
            name,
            figure(group, "deciding_users"),
            *(figure(group, model) for model in ("family", "teacher", "best_baseline")),
            *(
                figure(group, ratio, part)
                for ratio in ("retention", "lift")
                for part in ("value", "lower_bound")
            ),
        )
        for name, group in evidence.verdict.get("groups", {}).items()
    ]


def variant_rows(evidence: Evidence) -> list[VariantRow]:
    """The variants, with the gate's decisions."""
    return [
        VariantRow(
            name,
            str(judged["of"]),
            figure(judged, "gain"),
            figure(judged, "lower_bound"),
            figure(judged, "test", "gain"),
            figure(evidence.metrics, "models", f"{name}/{RELEASED}", "multiply_adds"),
            figure(evidence.metrics, "models", f"{name}/{RELEASED}", "bytes"),
            "would be accepted" if judged["ships"] else str(judged["reason"]),
        )
        for name, judged in evidence.verdict.get("variants", {}).items()
    ]


def serves_its_group(verdict: dict[str, Any], student: str) -> bool:
    """Whether a student is released for the users it is trained for."""
    return student == GENERAL or serving(verdict).get(student) == student


def is_merged(evidence: Evidence, segment: str) -> bool:
    """Whether a segment has too few users for its own student."""
    return segment in evidence.origin.segments.get("folded", [])


def status(evidence: Evidence, student: str) -> str:
    """The gate's decision about a student, in words."""
    if student == GENERAL:
        return "always released"
    if is_merged(evidence, student):
        return "merged into general, too few users"
    judged = evidence.verdict.get("segments", {}).get(student)
    if judged is None:
        return "not judged"
    accepted = serves_its_group(evidence.verdict, student)
    return "accepted" if accepted else f"general serves, {judged['reason']}"


def segment_rows(evidence: Evidence) -> list[SegmentRow]:
    """The segments with a decision of the gate, in the order of the settings."""
    judged = evidence.verdict.get("segments", {})
    numbered = enumerate(evidence.students)
    return [segment_row(evidence, name, number) for number, name in numbered if name in judged]


def segment_row(evidence: Evidence, name: str, number: int) -> SegmentRow:
    """One segment's figures and decision."""
    judged = evidence.verdict["segments"][name]
    decisions = evidence.decisions.get(name, {})
    own, general = (
        figure(evidence.metrics, "models", f"{student}/{RELEASED}", TEST, name, "ndcg")
        for student in (name, GENERAL)
    )
    merged = is_merged(evidence, name)
    return SegmentRow(
        name=name,
        number=number,
        where=evidence.students[name].where,
        users=figure(judged, "users"),
        deciding=figure(judged, "deciding_users"),
        validation=decisions.get(VALIDATION),
        lower_bound=figure(judged, "lower_bound"),
        margin=figure(judged, "margin"),
        test=decisions.get(TEST),
        relative=divide(own, general),
        accepted=serves_its_group(evidence.verdict, name),
        merged=merged,
        reason="too few users: merged into general" if merged else str(judged["reason"]),
    )


def gains_picture(rows: list[SegmentRow]) -> str:
    """Each segment's gain with its interval: validation decides (filled), test is beside it."""

    def draw(sheet: Sheet) -> None:
        axes = sheet.subplots()
        for place, row in enumerate(rows):
            draw_gain(axes, row, VALIDATION, row.validation, place - 0.16)
            draw_gain(axes, row, TEST, row.test, place + 0.16)
            served = "merged into general" if row.merged else "general serves"
            word = "accepted" if row.accepted else served
            axes.text(1.03, place, word, va="center", transform=axes.get_yaxis_transform())
        axes.axvline(0, color=plots.SOFT, linewidth=0.9)
        margins = [(place, row.margin) for place, row in enumerate(rows) if row.margin is not None]
        for place, margin in margins:
            axes.plot([-margin, -margin], [place - 0.35, place + 0.35], **plots.RULE)
        if margins:
            place, margin = margins[0]
            style = {"color": plots.SOFT, "ha": "center", "va": "bottom"}
            axes.text(-margin, place - 0.38, "−margin", **style)
        axes.set_yticks(range(len(rows)), [plots.short(row.name) for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("gain in NDCG per user")
        style = {"color": plots.SOFT, "marker": "o", "markersize": 6}
        hollow = {**style, "markerfacecolor": plots.PAGE}
        plots.legend(sheet, [("validation (decides)", style), ("test", hollow)])

    title = "Gain of each segment's student over general on validation and test"
    description = f"{GAINS_CAPTION} The values are in the table."
    return plots.svg((plots.WIDTH, 1.4 + 0.5 * len(rows)), draw, title, description)


def draw_gain(axes: Axes, row: SegmentRow, window: str, gain: Figure | None, place: float) -> None:
    """The gain in one window, if it was measured."""
    if gain is not None:
        value, low, high = map(formats.gain, plots.ends(gain))
        tip = f"{row.name}, {window}: {value} ({low} to {high})"
        plots.interval(axes, gain, place, row.number, hollow=window == TEST, tip=tip)
