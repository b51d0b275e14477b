"""The table of models at the end of a run, for a terminal."""

import textwrap
from typing import Any

from decant.evaluation.evaluate import ALL, ORACLE, RELEASED
from decant.evaluation.lookup import divide, figure
from decant.features.sequences import TEST
from decant.params.types import GENERAL, TEACHER
from decant.release.records import explain_check
from decant.release.remedies import remedies
from decant.report.evidence import baselines
from decant.report.figures import family_bytes, highest_cost
from decant.report.formats import NOT_MEASURED
from decant.report.formats import duration as as_duration
from decant.report.formats import size as as_size
from decant.report.scores import serving

WIDTH = 100
NAME = 38
NONE = "-"
HELP = "more on each check: docs/troubleshooting.md, `The gate failed`"
Line = tuple[str, str, str, str, str, str, str]


def table(metrics: dict[str, Any], verdict: dict[str, Any] | None = None) -> str:
    """One line per model on the test window, not wider than `WIDTH` columns.

    Rows: traditional models, the best on test last; the teacher; the general student; each
    segment's serving student on its own group; the family. Without a `verdict`, segments and the
    mark of the best traditional model are missing.
    """
    verdict = verdict or {}
    best = verdict.get("best_baseline")
    lines = [
        *(
            model_line(metrics, name, ALL, f"{name} (best traditional)" if name == best else name)
            for name in reversed(baselines(metrics))
        ),
        model_line(metrics, TEACHER, ALL, TEACHER),
        model_line(metrics, f"{GENERAL}/{RELEASED}", ALL, GENERAL),
        *segment_lines(metrics, verdict),
        family_line(metrics, verdict) if verdict else None,
    ]
    k = metrics["k"]
    head = ("model, test window", f"NDCG@{k}", f"HR@{k}", "/teacher", "/oracle", "size", "p50")
    shown = [head, *(line for line in lines if line is not None)]
    rows = [row(line) for line in shown]
    rule = "-" * max(map(len, rows))
    judged = verdict_lines(verdict)
    return "\n".join([rows[0], rule, *rows[1:], rule, *legend(verdict), *judged])


def legend(verdict: dict[str, Any]) -> list[str]:
    """Explanation of the means, and of the rows of user groups if there are any."""
    means = "NDCG and HR are means over users"
    if not verdict.get("segments"):
        return [means]
    return [
        means,
        "user groups are measured on their own users, all other rows on all users; shares are of",
        "the teacher's and the oracle's NDCG on the same users",
    ]


def segment_lines(metrics: dict[str, Any], verdict: dict[str, Any]) -> list[Line]:
    """The student that serves each segment, measured on the segment."""
    return [
        model_line(
            metrics,
            f"{student}/{RELEASED}",
            segment,
            segment if student == segment else f"{segment} (general serves)",
        )
        for segment, student in serving(verdict).items()
    ]


def model_line(metrics: dict[str, Any], name: str, group: str, label: str) -> Line:
    """One model on one group."""
    values = {m: figure(metrics, "models", name, TEST, group, m) for m in ("ndcg", "hr")}
    size = figure(metrics, "models", name, "bytes")
    latency = figure(metrics, "models", name, "latency_us", "p50")
    return line(metrics, label, group, values["ndcg"], values["hr"], size, latency)


def family_line(metrics: dict[str, Any], verdict: dict[str, Any]) -> Line:
    """The family as released: bytes of all students, latency of the slowest."""
    ndcg, hits = (figure(verdict, "family", TEST, ALL, metric) for metric in ("ndcg", "hr"))
    latency = highest_cost(metrics, verdict, "latency_us", "p50")
    size = family_bytes(metrics, verdict)
    return line(metrics, "family, as released", ALL, ndcg, hits, size, latency)


def line(
    metrics: dict[str, Any],
    label: str,
    group: str,
    ndcg: float | None,
    hits: float | None,
    size: float | None,
    latency: float | None,
) -> Line:
    """The cells of one line; shares relate to the teacher's and the oracle's NDCG on the group."""
    teacher, oracle = (
        figure(metrics, "models", name, TEST, group, "ndcg") for name in (TEACHER, ORACLE)
    )
    return (
        label,
        number(ndcg),
        number(hits),
        share(divide(ndcg, teacher)),
        share(divide(ndcg, oracle)),
        NONE if size is None else as_size(size),
        NONE if latency is None else as_duration(latency),
    )


def verdict_lines(verdict: dict[str, Any]) -> list[str]:
    """Why general serves a segment, then the gate's verdict with each check that failed."""
    if not verdict:
        return [f"gate: {NOT_MEASURED}"]
    rejected = {n: s for n, s in verdict.get("segments", {}).items() if not s["ships"]}
    lines = [f"{name}: general serves, {segment['reason']}" for name, segment in rejected.items()]
    checks = verdict.get("checks", [])
    failed = [check for check in checks if not check["passed"]]
    if verdict.get("passed"):
        lines.append(f"gate: PASSED, {len(checks)} checks")
        lines += thresholds_off(verdict)
        lines += [f"held for a person: {loss}" for loss in verdict.get("held", [])]
    else:
        lines.append(f"gate: FAILED, {len(failed)} of {len(checks)} checks")
        lines += [f"  {explain_check(check)}" for check in failed]
        lines += [f"to do: {remedy}" for remedy in remedies(checks)]
        lines.append(HELP)
    return [part for line in lines for part in wrapped(line)]


def thresholds_off(verdict: dict[str, Any]) -> list[str]:
    """A warning if thresholds of the gate are set to values that nothing can miss."""
    off = verdict.get("thresholds_off")
    return [f"these settings of the gate check nothing: {', '.join(off)}"] if off else []


def wrapped(line: str) -> list[str]:
    """A line in lines of at most `WIDTH` columns."""
    return textwrap.wrap(line, WIDTH, subsequent_indent="    ", break_on_hyphens=False)


def number(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"


def share(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.1f} %"


def row(cells: Line) -> str:
    """A line of text: name left-aligned, numbers right-aligned."""
    name = cells[0] if len(cells[0]) <= NAME else cells[0][: NAME - 1] + "…"
    return f"{name:<{NAME}}" + "".join(f"{cell:>10}" for cell in cells[1:])
