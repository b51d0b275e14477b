"""One page about a run: HTML with everything in it, the same bytes for the same run."""

from typing import Any

from decant.evaluation.evaluate import ORACLE
from decant.params import TEACHER
from decant.release.gate import divide, figure
from decant.report import formats
from decant.report.evidence import Evidence
from decant.report.figures import family_bytes
from decant.report.markup import Raw, code, join, paragraph, section, table, tag
from decant.report.models import (
    baselines_section,
    hops_section,
    oracle_section,
    segments_section,
    trade_off_section,
)
from decant.report.origin import data_section, protocol_section
from decant.report.scores import FAMILY, Figure
from decant.report.style import STYLE


def page(evidence: Evidence) -> str:
    """The whole document."""
    parts = [
        hops_section(evidence),
        trade_off_section(evidence),
        segments_section(evidence),
        baselines_section(evidence),
        oracle_section(evidence),
        gate_section(evidence.verdict),
        data_section(evidence),
        protocol_section(evidence),
    ]
    word = "passed" if evidence.verdict.get("passed") else "failed"
    source = evidence.metrics.get("protocol", {}).get("source", "")
    head = join(
        [
            Raw('<meta charset="utf-8">'),
            Raw('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            tag("title", f"Decant: {source}, gate {word}"),
            tag("style", Raw(STYLE)),
        ],
        "\n",
    )
    title = tag("h1", f"A family of recommenders for {source}")
    body = join([title, verdict_box(evidence), tiles(evidence), contents(), *parts, FOOTER], "\n")
    document = tag("html", join([tag("head", head), tag("body", body)], "\n"), lang="en")
    return f"<!DOCTYPE html>\n{document.markup}\n"


FOOTER = tag(
    "footer",
    join(
        [
            "Made by ",
            code("python -m tasks.report"),
            " from the files in ",
            code("data/evaluation"),
            ", ",
            code("data/gate"),
            " and the summaries of the stages before them.",
        ]
    ),
)
SECTIONS = {
    "hops": "Hop by hop",
    "trade-off": "Quality against latency",
    "segments": "User groups",
    "baselines": "Baselines",
    "oracle": "Best possible",
    "gate": "Gate",
    "data": "Data",
    "protocol": "Protocol",
}


def contents() -> Raw:
    """Links to the parts of the page."""
    links = (tag("a", text, href=f"#{name}") for name, text in SECTIONS.items())
    return tag("nav", join(links, "\n"), aria_label="Parts of this page")


def verdict_box(evidence: Evidence) -> Raw:
    """The verdict; what failed is listed right there."""
    passed = bool(evidence.verdict.get("passed"))
    failed = [check for check in evidence.verdict.get("checks", []) if not check["passed"]]
    word = tag("strong", "Passed." if passed else "Failed.")
    parts = [paragraph(word, " ", sentence(evidence))]
    if failed:
        parts.append(tag("ul", join(tag("li", complaint(check)) for check in failed)))
    return tag(
        "div", join(parts), class_=f"verdict {'passed' if passed else 'failed'}", role="status"
    )


def sentence(evidence: Evidence) -> str:
    """The verdict and what it rests on, in one sentence."""
    verdict = evidence.verdict
    checks = verdict.get("checks", [])
    failed = sum(not check["passed"] for check in checks)
    start = (
        "The family may be released"
        if verdict.get("passed")
        else f"The family must not be released: {failed} of {len(checks)} checks failed"
        if checks
        else "The family must not be released: there are no checks"
    )
    return "; ".join([start, *reached(evidence)]) + "."


def reached(evidence: Evidence) -> list[str]:
    """What the family reaches on the test window, as far as it was measured."""
    size, latency = (_value(evidence.figures.get(f"{name}.ratio")) for name in ("size", "latency"))
    retention, lift = _value(evidence.retention.get(FAMILY)), _value(evidence.lift)
    said = []
    if retention is not None:
        said.append(
            f"on the test window it reaches {formats.percent(retention)} of the teacher's "
            f"NDCG@{evidence.metrics['k']}"
        )
    if lift is not None:
        way = "below" if lift < 1 else "above"
        name = best_baseline(evidence)
        said.append(
            f"it is {formats.percent(abs(lift - 1))} {way} the best traditional model, {name}"
        )
    if latency is not None:
        said.append(f"its slowest student takes 1/{latency:.1f} of the teacher's time")
    if size is not None:
        said.append(f"its largest is 1/{size:.1f} of the teacher's size")
    return said or ["nothing of it was measured on the test window"]


def complaint(check: dict[str, Any]) -> Raw:
    """One failed check."""
    value, threshold = formats.telling_apart(check["value"], check["threshold"])
    return join(
        [code(str(check["name"])), f": {value}, must be at least {threshold} ({check['why']})"]
    )


def tiles(evidence: Evidence) -> Raw:
    """The key figures, each with what it is."""
    figures, k = evidence.figures, evidence.metrics["k"]
    together = divide(
        figure(evidence.metrics, "models", TEACHER, "bytes"),
        family_bytes(evidence.metrics, evidence.verdict),
    )
    own = sum(bool(s["ships"]) for s in evidence.verdict.get("segments", {}).values())
    groups = len(evidence.verdict.get("segments", {}))
    teacher, best = figures.get(f"teacher.ndcg@{k}"), figures.get(f"baseline.best.ndcg@{k}")
    found = [
        (
            f"Family, NDCG@{k} on test",
            _main(figures.get(f"family.ndcg@{k}"), formats.quality, 3),
            _bounds(figures.get(f"family.ndcg@{k}"), formats.quality, 3),
        ),
        (
            "Against the best traditional model",
            _main(evidence.lift, _over),
            f"{_bounds(evidence.lift, _over)}; {best_baseline(evidence)} has "
            f"{_main(best, formats.quality, 3)}",
        ),
        (
            "Of the teacher's quality",
            _main(evidence.retention.get(FAMILY), formats.percent),
            f"{_bounds(evidence.retention.get(FAMILY), formats.percent)}; the teacher has "
            f"{_main(teacher, formats.quality, 3)}",
        ),
        (
            "Smaller than the teacher",
            formats.times(_value(figures.get("size.ratio"))),
            f"the largest student's served files; all students together {formats.times(together)}",
        ),
        (
            "Faster than the teacher",
            formats.times(_value(figures.get("latency.ratio"))),
            "the slowest student, p50 of single requests in the same runtime",
        ),
        (
            "Groups with a student of their own",
            f"{own} of {groups}",
            "general serves the others" if own < groups else "and general for everybody else",
        ),
    ]
    if ORACLE in evidence.metrics["models"]:
        oracle = figures.get("oracle.share")
        found.append(
            (
                "Of the best possible quality",
                _main(oracle, formats.percent),
                _bounds(oracle, formats.percent),
            )
        )
    return tag(
        "dl",
        join(
            tag("div", join([tag("dt", name), _large(value), tag("dd", note)]))
            for name, value, note in found
        ),
        class_="tiles",
    )


def gate_section(verdict: dict[str, Any]) -> Raw:
    """Every check: value, threshold, pass or fail, what it is about."""
    rows: list[list[Raw | str]] = []
    for check in verdict.get("checks", []):
        value, threshold = formats.telling_apart(check["value"], check["threshold"])
        word = "pass" if check["passed"] else "FAIL"
        mark = tag("span", word, class_=word.lower())
        rows.append([code(str(check["name"])), mark, value, threshold, str(check["why"])])
    return section(
        "gate",
        "What the gate checked",
        paragraph(
            "The gate decides on validation and fails closed: a figure that is missing is a FAIL. "
            "A family that failed can be looked at, it cannot be promoted."
        ),
        _gate_table(rows),
    )


def _gate_table(rows: list[list[Raw | str]]) -> Raw:
    if not rows:
        return paragraph("The verdict holds no check: that is a FAIL.", class_="fail")
    columns = ["check", "verdict", "value", "at least", "what it compares"]
    return table("Checks of the gate", columns, rows, kinds="wwnnw")


def best_baseline(evidence: Evidence) -> str:
    """Name of the best traditional model on validation."""
    return str(evidence.verdict.get("best_baseline") or formats.NOT_MEASURED)


def _value(figure: Figure | None) -> float | None:
    return None if figure is None else figure["value"]


def _over(value: float | None) -> str:
    return formats.percent(None if value is None else value - 1, sign=True)


def _main(figure: Figure | None, show: Any, *arguments: Any) -> str:
    return str(show(_value(figure), *arguments))


def _bounds(figure: Figure | None, show: Any, *arguments: Any) -> str:
    if figure is None or figure["low"] is None or figure["high"] is None:
        return "no interval" if figure else formats.NOT_MEASURED
    return f"95 %: {show(figure['low'], *arguments)} to {show(figure['high'], *arguments)}"


def _large(value: str) -> Raw:
    return tag("dd", value, class_="missing" if value == formats.NOT_MEASURED else "value")
