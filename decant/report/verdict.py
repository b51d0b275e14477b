"""The gate's verdict: one sentence, key figures, checks."""

from dataclasses import dataclass
from typing import Any

from decant.report import formats
from decant.report.evidence import Evidence
from decant.report.results import Figure
from decant.report.scores import FAMILY


@dataclass(frozen=True)
class CheckRow:
    """One check of the gate; `bound` is empty if there is none.

    What decided, bound or value, and `threshold` have enough digits to tell them apart.
    """

    name: str
    passed: bool
    value: str
    bound: str
    threshold: str
    why: str


def sentence(evidence: Evidence) -> str:
    """The verdict and its main figures, in one sentence."""
    checks = evidence.verdict.get("checks", [])
    failed = sum(not check["passed"] for check in checks)
    if evidence.verdict.get("passed") and evidence.verdict.get("held"):
        start = "A person must decide on the release, the test window shows a loss"
    elif evidence.verdict.get("passed"):
        start = "The family may be released"
    elif checks:
        start = f"The family must not be released: {failed} of {len(checks)} checks failed"
    else:
        start = "The family must not be released: there are no checks"
    off = evidence.verdict.get("thresholds_off")
    unchecked = [f"these settings of the gate check nothing: {', '.join(off)}"] if off else []
    return "; ".join([start, *unchecked, *achievements(evidence)]) + "."


def achievements(evidence: Evidence) -> list[str]:
    """Results of the family on the test window, as far as measured."""
    key = {name: formats.value(figure) for name, figure in key_figures(evidence).items()}
    clauses = []
    if (retention := key["retention"]) is not None:
        clauses.append(
            f"on the test window it reaches {formats.percent(retention)} of the teacher's "
            f"NDCG@{evidence.metrics['k']}"
        )
    if (lift := key["lift"]) is not None:
        clauses.append(
            f"it is {formats.percent(abs(lift - 1))} {'below' if lift < 1 else 'above'} the best "
            f"traditional model, {best_baseline(evidence)}"
        )
    if (latency := key["latency"]) is not None:
        clauses.append(f"its slowest student takes 1/{latency:.1f} of the teacher's time")
    if (size := key["size"]) is not None:
        clauses.append(f"its largest is 1/{size:.1f} of the teacher's size")
    return clauses or ["nothing was measured on the test window"]


def key_figures(evidence: Evidence) -> dict[str, Figure | None]:
    """The figures at the top of the page."""
    at_k = f"ndcg@{evidence.metrics['k']}"
    names = {
        "family": f"family.{at_k}",
        "best": f"baseline.best.{at_k}",
        "teacher": f"teacher.{at_k}",
        "size": "size.ratio",
        "family_size": "family.size.ratio",
        "latency": "latency.ratio",
        "multiply_adds": "multiply_adds.ratio",
        "oracle": "oracle.share",
    }
    return {
        **{key: evidence.figures.get(name) for key, name in names.items()},
        "retention": evidence.retention.get(FAMILY),
        "lift": evidence.lift,
    }


def check_rows(verdict: dict[str, Any]) -> list[CheckRow]:
    """Every check of the gate."""
    return [check_row(check) for check in verdict.get("checks", [])]


def check_row(check: dict[str, Any]) -> CheckRow:
    """One check of the gate; earlier versions recorded no bounds."""
    value, bound = check["value"], check.get("bound")
    decided, threshold = formats.distinguishable(
        value if bound is None else bound, check["threshold"]
    )
    shown = decided if bound is None else formats.plain(value)
    return CheckRow(
        name=str(check["name"]),
        passed=bool(check["passed"]),
        value=shown,
        bound="" if bound is None else decided,
        threshold=threshold,
        why=str(check["why"]),
    )


def best_baseline(evidence: Evidence) -> str:
    """Name of the best traditional model on validation."""
    return str(evidence.verdict.get("best_baseline") or formats.NOT_MEASURED)
