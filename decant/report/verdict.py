"""The parts of the page that judge: the verdict, the key figures, every check of the gate."""

from typing import Any

from decant.evaluation.evaluate import ORACLE
from decant.report import formats
from decant.report.evidence import Evidence
from decant.report.markup import Cells, Raw, code, join, paragraph, section, table, tag
from decant.report.scores import FAMILY, Figure

Tile = tuple[str, str, str]


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
    found = [*quality_tiles(evidence), *cost_tiles(evidence), groups_tile(evidence.verdict)]
    if ORACLE in evidence.metrics["models"]:
        oracle = evidence.figures.get("oracle.share")
        reached = _main(oracle, formats.percent)
        found.append(("Of the best possible quality", reached, _bounds(oracle, formats.percent)))
    cells = (
        tag("div", join([tag("dt", name), _large(value), tag("dd", note)]))
        for name, value, note in found
    )
    return tag("dl", join(cells), class_="tiles")


def quality_tiles(evidence: Evidence) -> list[Tile]:
    """The family's quality, beside the best traditional model's and the teacher's."""
    family, best, teacher = (
        evidence.figures.get(f"{name}.ndcg@{evidence.metrics['k']}")
        for name in ("family", "baseline.best", "teacher")
    )
    retention = evidence.retention.get(FAMILY)
    return [
        (
            f"Family, NDCG@{evidence.metrics['k']} on test",
            _main(family, formats.quality, 3),
            _bounds(family, formats.quality, 3),
        ),
        (
            "Against the best traditional model",
            _main(evidence.lift, _over),
            f"{_bounds(evidence.lift, _over)}; {best_baseline(evidence)} has "
            f"{_main(best, formats.quality, 3)}",
        ),
        (
            "Of the teacher's quality",
            _main(retention, formats.percent),
            f"{_bounds(retention, formats.percent)}; the teacher has "
            f"{_main(teacher, formats.quality, 3)}",
        ),
    ]


def cost_tiles(evidence: Evidence) -> list[Tile]:
    """How much smaller and faster the dearest student is."""
    together = formats.times(_value(evidence.figures.get("family.size.ratio")))
    fewer = formats.times(_value(evidence.figures.get("multiply_adds.ratio")))
    return [
        (
            "Smaller than the teacher",
            formats.times(_value(evidence.figures.get("size.ratio"))),
            f"the largest student's served files; all students together {together}",
        ),
        (
            "Faster than the teacher",
            formats.times(_value(evidence.figures.get("latency.ratio"))),
            "the slowest student, p50 of single requests in the same runtime; "
            f"{fewer} in multiply-adds of a request with a full history",
        ),
    ]


def groups_tile(verdict: dict[str, Any]) -> Tile:
    """How many groups have a student of their own."""
    judged = verdict.get("segments", {}).values()
    own = sum(bool(segment["ships"]) for segment in judged)
    rest = "general serves the others" if own < len(judged) else "and general for everybody else"
    return "Groups with a student of their own", f"{own} of {len(judged)}", rest


def gate_section(verdict: dict[str, Any]) -> Raw:
    """Every check: value, threshold, pass or fail, what it is about."""
    rows: list[Cells] = []
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


def _gate_table(rows: list[Cells]) -> Raw:
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
