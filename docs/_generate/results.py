"""The table of the results' overview, from the JSON files of the benchmarks.

Run: `python -m docs._generate.results` writes it into docs/results/README.md.
"""

import re
from pathlib import Path
from typing import Any

from decant.report.results import read
from docs._generate.schema import table

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"
OVERVIEW = RESULTS / "README.md"
MARK = "<!-- figures: python -m docs._generate.results -->"
DATA_SETS = {
    "demo": "demo shop",
    "movielens-100k": "MovieLens 100K",
    "movielens-1m": "MovieLens 1M",
    "online-retail": "Online Retail",
}
# column: names of its figure, the first that a data set's files have; is it relative?
COLUMNS: dict[str, tuple[tuple[str, ...], bool]] = {
    "best traditional model": (("baseline.best.ndcg@10",), False),
    "teacher": (("teacher.ndcg@10",), False),
    "family": (("family.ndcg@10", "released.ndcg@10"), False),
    "teacher over best traditional": (("teacher.lift",), True),
    "family ÷ teacher": (("retention.family", "family.retention", "released.retention"), True),
}


def overview() -> str:
    """The table in Markdown."""
    rows = [
        (text, *(cell(name, *column) for column in COLUMNS.values()))
        for name, text in DATA_SETS.items()
    ]
    return table(("data set", *COLUMNS), rows)


def cell(data_set: str, names: tuple[str, ...], relative: bool) -> str:
    """One figure with its interval, linked to the page that has it."""
    for page in (data_set, f"{data_set}-groups"):
        for name in names:
            if figure := figures(page).get(name):
                value, low, high = (
                    f"{100 * figure[part]:.0f}" if relative else f"{figure[part]:.4f}"
                    for part in ("value", "low", "high")
                )
                value = f"{value} %" if relative else value
                # an interval stays on one line
                interval = f"[{low},\N{NO-BREAK SPACE}{high}]".replace("-", "\N{MINUS SIGN}")
                return f"[{value}]({page}.md) {interval}".replace("[-", "[\N{MINUS SIGN}")
    return "–"


def figures(page: str) -> dict[str, Any]:
    """The figures of one page of results; none where it has not been measured."""
    path = RESULTS / f"{page}.json"
    values: dict[str, Any] = read(path)["figures"] if path.is_file() else {}
    return values


def renewed(page: str) -> str:
    """A page with the table of now behind its mark."""
    before, _, after = page.partition(MARK)
    rest = re.sub(r"\A\s*(\|[^\n]*\n)*", "", after)
    return f"{before}{MARK}\n\n{overview()}\n\n{rest.lstrip()}"


if __name__ == "__main__":
    OVERVIEW.write_text(renewed(OVERVIEW.read_text(encoding="utf-8")), encoding="utf-8")
