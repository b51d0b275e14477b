"""Report page of a run: self-contained HTML, deterministic for the same run."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from decant.evaluation.evaluate import ORACLE
from decant.evaluation.lookup import figure
from decant.params.types import GENERAL
from decant.release.remedies import remedies
from decant.report import formats, origin
from decant.report.evidence import Evidence
from decant.report.model_rows import baseline_rows, metric_columns, oracle_rows, steps_blocks
from decant.report.segments import (
    GAINS_CAPTION,
    gains_picture,
    group_rows,
    segment_rows,
    variant_rows,
)
from decant.report.trade_off import trade_off
from decant.report.verdict import best_baseline, check_rows, key_figures, sentence

TEMPLATES = Environment(
    loader=PackageLoader("decant.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
TEMPLATES.filters |= {"figure": figure} | {
    show.__name__: show
    for show in (
        formats.code, formats.count, formats.duration, formats.gain, formats.over, formats.percent,
        formats.quality, formats.size, formats.times, formats.value,
    )
}  # fmt: skip
TEMPLATES.globals["show"] = formats


def page(evidence: Evidence) -> str:
    """The whole document."""
    sections = (verdict_content, models_content, segments_content, data_content)
    content = {name: item for section in sections for name, item in section(evidence).items()}
    return TEMPLATES.get_template("page.html").render(content)


def verdict_content(evidence: Evidence) -> dict[str, Any]:
    """Verdict, key figures and checks."""
    checks = check_rows(evidence.verdict)
    return {
        "source": str(evidence.metrics.get("protocol", {}).get("source", "")),
        "k": evidence.metrics["k"],
        "passed": bool(evidence.verdict.get("passed")),
        "sentence": sentence(evidence),
        "key": key_figures(evidence),
        "best_baseline": best_baseline(evidence),
        "has_oracle": ORACLE in evidence.metrics["models"],
        "checks": checks,
        "failed": [check for check in checks if not check.passed],
        "remedies": remedies(evidence.verdict.get("checks", [])),
        "held": evidence.verdict.get("held", []),
    }


def models_content(evidence: Evidence) -> dict[str, Any]:
    """Tables and plot of all models."""
    trade = trade_off(evidence)
    return {
        "metric_columns": metric_columns(evidence.metrics["k"]),
        "steps": steps_blocks(evidence),
        "trade_off": trade and {"picture": Markup(trade.picture), "caption": trade.caption},
        "baselines": baseline_rows(evidence),
        "basket_rows": evidence.baskets,
        "hybrid": evidence.metrics.get("hybrid"),
        "left_out": evidence.metrics.get("left_out", {}),
        "oracle": oracle_rows(evidence),
    }


def segments_content(evidence: Evidence) -> dict[str, Any]:
    """Each segment's gain."""
    rows = segment_rows(evidence)
    return {
        "segments": rows,
        "accepted": sum(row.accepted for row in rows),
        "only_general": set(evidence.students) == {GENERAL},
        "margin": evidence.margin,
        "gains": Markup(gains_picture(rows)) if rows else None,
        "gains_caption": GAINS_CAPTION,
        "variants": variant_rows(evidence),
        "groups_compared": group_rows(evidence),
    }


def data_content(evidence: Evidence) -> dict[str, Any]:
    """Origin of the data, and the protocol."""
    validated, protocol = evidence.origin.validated, evidence.metrics.get("protocol", {})
    accounts = origin.accounts(validated)
    return {
        "validated": validated,
        "features": evidence.origin.features,
        "period": origin.period(validated.get("left", {})),
        "unreadable": origin.unreadable(validated.get("unparsed")),
        "accounts": accounts,
        "fates": origin.fates(accounts),
        "reasons": origin.reason_rows(accounts),
        "groups": origin.group_rows(evidence),
        "metrics": evidence.metrics,
        "protocol": protocol,
        "split": origin.split_words(protocol.get("split", {})),
        "resamples": evidence.resamples,
        "deciding_resamples": evidence.deciding_resamples,
    }
