"""One page about a run: HTML with everything in it, the same bytes for the same run."""

from decant.report.comparisons import baselines_section, oracle_section, segments_section
from decant.report.evidence import Evidence
from decant.report.hops import hops_section
from decant.report.markup import Raw, code, join, tag
from decant.report.origin import data_section, protocol_section
from decant.report.style import STYLE
from decant.report.trade_off import trade_off_section
from decant.report.verdict import gate_section, tiles, verdict_box

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


def contents() -> Raw:
    """Links to the parts of the page."""
    links = (tag("a", text, href=f"#{name}") for name, text in SECTIONS.items())
    return tag("nav", join(links, "\n"), aria_label="Parts of this page")
