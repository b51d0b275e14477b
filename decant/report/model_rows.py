"""Rows of the model tables: compression steps by student, traditional models, oracle shares."""

from dataclasses import dataclass
from typing import Any

from decant.evaluation.evaluate import ALL, HOPS, ORACLE, RELEASED
from decant.evaluation.lookup import divide, figure
from decant.features.sequences import TEST, VALIDATION
from decant.params.types import GENERAL, TEACHER
from decant.report import formats
from decant.report.evidence import Evidence, baselines, own_group
from decant.report.figures import family_bytes, highest_cost
from decant.report.results import Figure
from decant.report.scores import FAMILY, exact, released_students
from decant.report.segments import serves_its_group, status

FAMILY_LABEL = "family, as released"


@dataclass(frozen=True)
class ModelRow:
    """One model on one group of users in the test window; None if not measured.

    `share`: of the teacher's NDCG on the same users. `released`: the model serves the group.
    """

    label: str
    ndcg: float | None
    share: Figure | None
    hr: float | None
    precision: float | None
    recall: float | None
    coverage: float | None
    size: float | None
    latency: float | None
    note: str = ""
    released: bool = False


@dataclass(frozen=True)
class StepsBlock:
    """A student's compression steps on its own group; `student` is empty for all users."""

    student: str
    where: str | None
    users: float | None
    cases: float | None
    status: str
    rows: list[ModelRow]


@dataclass(frozen=True)
class OracleRow:
    """Share of the best possible NDCG that a model reaches; `width` of its bar in percent."""

    label: str
    users: str
    share: Figure | None
    best: float | None
    width: float


def metric_columns(k: int) -> list[str]:
    """Headings of the metrics of a `ModelRow`."""
    return [f"NDCG@{k}", "of the teacher", f"HR@{k}", f"precision@{k}", f"recall@{k}", "coverage"]


def steps_blocks(evidence: Evidence) -> list[StepsBlock]:
    """Teacher → distilled → pruned → int8, for all users and for each student's group."""
    rows = [
        model_row(evidence, TEACHER, TEACHER, ALL),
        *(model_row(evidence, f"{GENERAL}/{hop}", f"{GENERAL}, {hop}", ALL) for hop in HOPS),
        family_row(evidence),
    ]
    all_users = StepsBlock("", None, *sizes(evidence, ALL), "", rows)
    return [all_users, *(student_block(evidence, student) for student in evidence.students)]


def student_block(evidence: Evidence, student: str) -> StepsBlock:
    """One student's compression steps, with general's if that serves the group."""
    group = own_group(evidence.metrics, student)
    serves = serves_its_group(evidence.verdict, student)
    rows = [model_row(evidence, TEACHER, TEACHER, group)]
    if any(f"{student}/{hop}" in evidence.metrics["models"] for hop in HOPS):
        for hop in HOPS:
            last = hop == RELEASED
            note = step_note(evidence.hops.get(student, {}), hop)
            share = evidence.retention.get(student) if last else None
            name = f"{student}/{hop}"
            rows.append(model_row(evidence, name, hop, group, note, share, serves and last))
    if not serves:
        label, note = f"{GENERAL}, {RELEASED}", "serves this group"
        rows.append(model_row(evidence, f"{GENERAL}/{RELEASED}", label, group, note, released=True))
    where = evidence.students[student].where
    return StepsBlock(student, where, *sizes(evidence, group), status(evidence, student), rows)


def sizes(evidence: Evidence, group: str) -> tuple[float | None, float | None]:
    """Users of a group, and their test cases."""
    at = evidence.metrics, "groups", group
    return figure(*at, "users"), figure(*at, f"{TEST}_cases")


def model_row(
    evidence: Evidence,
    name: str,
    label: str,
    group: str,
    note: str = "",
    share: Figure | None = None,
    released: bool = False,
) -> ModelRow:
    """One model on one group."""
    metrics = evidence.metrics
    values = {
        metric: figure(metrics, "models", name, TEST, group, metric)
        for metric in ("ndcg", "hr", "precision", "recall", "coverage")
    }
    teacher = figure(metrics, "models", TEACHER, TEST, group, "ndcg")
    return ModelRow(
        label=label,
        share=share or exact(divide(values["ndcg"], teacher)),
        size=figure(metrics, "models", name, "bytes"),
        latency=figure(metrics, "models", name, "latency_us", "p50"),
        note=note,
        released=released,
        **values,
    )


def family_row(evidence: Evidence) -> ModelRow:
    """The family as released, on all users."""
    metrics, verdict = evidence.metrics, evidence.verdict
    hr = figure(verdict, "family", TEST, ALL, "hr")
    students = len(released_students(verdict))
    return ModelRow(
        label=FAMILY_LABEL,
        ndcg=figure(verdict, "family", TEST, ALL, "ndcg"),
        share=evidence.retention.get(FAMILY),
        hr=hr,
        precision=divide(hr, float(metrics["k"])),
        recall=hr,
        coverage=evidence.coverage,
        size=family_bytes(metrics, verdict),
        latency=highest_cost(metrics, verdict, "latency_us", "p50"),
        note=f"{students} students together; p50 of the slowest"
        if students > 1
        else "general serves all users",
        released=True,
    )


def step_note(steps: dict[str, Any], hop: str) -> str:
    """Changes that a compression step made to the model."""
    step = steps.get(hop, {})
    if (kept := step.get("shrunk_to", 1.0)) < 1:
        return f"{formats.percent(kept, 0)} of the difference from its start kept"
    if "taken" not in step:
        return ""
    if not step["taken"]:
        return "rejected, lost too much quality: unchanged"
    if "hidden_kept" in step:
        return (
            f"{formats.percent(step['heads_kept'], 0)} of heads and "
            f"{formats.percent(step['hidden_kept'], 0)} of hidden units kept, "
            f"{formats.count(step['parameters'])} parameters"
        )
    return f"{step.get('weights', hop)} weights"


def baseline_rows(evidence: Evidence) -> list[tuple[ModelRow, float | None]]:
    """Traditional models, teacher and family on all users, each with NDCG on validation."""
    rows = [
        (
            model_row(evidence, name, name, ALL),
            figure(evidence.metrics, "models", name, VALIDATION, ALL, "ndcg"),
        )
        for name in (*baselines(evidence.metrics), TEACHER)
    ]
    family = figure(evidence.verdict, "family", VALIDATION, ALL, "ndcg")
    return [*rows, (family_row(evidence), family)]


def oracle_rows(evidence: Evidence) -> list[OracleRow]:
    """Share of the best possible NDCG of every model; empty without an oracle."""
    return [
        OracleRow(
            label=reached.name.replace("/", ", "),
            users="all users" if reached.group == ALL else reached.group,
            share=reached.share,
            best=figure(evidence.metrics, "models", ORACLE, TEST, reached.group, "ndcg"),
            width=100 * min(max(reached.share["value"], 0), 1) if reached.share else 0,
        )
        for reached in evidence.oracle
    ]
