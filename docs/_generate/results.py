"""The table of the results' overview, from the JSON files of the benchmarks.

Run: `python -m docs._generate.results` writes it into docs/results/README.md.
"""

import json
import re
from pathlib import Path
from typing import Any

from docs._generate.schema import table

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"
OVERVIEW = RESULTS / "README.md"
MARK = "<!-- figures: python -m docs._generate.results -->"
BEST, TEACHER, FAMILY = "baseline.best.ndcg@10", "teacher.ndcg@10", "family.ndcg@10"
# data set, and where its figures are: (file, name) of best traditional model, teacher, family
ROWS = (
    ("demo shop", ("demo", BEST), ("demo", TEACHER), ("demo", FAMILY)),
    ("MovieLens 100K", ("movielens-100k", BEST), ("movielens-100k", TEACHER), None),
    (
        "MovieLens 1M",
        ("movielens-1m", BEST),
        ("movielens-1m", TEACHER),
        ("movielens-1m-groups", "released.ndcg@10"),
    ),
    ("Online Retail", ("online-retail", BEST), ("online-retail", TEACHER), None),
)


def overview() -> str:
    """The table in Markdown."""
    rows = [(name, *map(cell, places)) for name, *places in ROWS]
    return table(("data set", "best traditional model", "teacher", "family"), rows)


def cell(place: tuple[str, str] | None) -> str:
    """One figure with its interval and a link to its page."""
    if place is None:
        return "–"
    name, key = place
    results = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    figure: dict[str, Any] = results["figures"][key]
    value, low, high = (f"{figure[part]:.4f}" for part in ("value", "low", "high"))
    return f"[{value}]({name}.md) [{low}, {high}]"


def renewed(page: str) -> str:
    """A page with the table of now behind its mark."""
    before, _, after = page.partition(MARK)
    rest = re.sub(r"\A\s*(\|[^\n]*\n)*", "", after)
    return f"{before}{MARK}\n\n{overview()}\n\n{rest.lstrip()}"


if __name__ == "__main__":
    OVERVIEW.write_text(renewed(OVERVIEW.read_text(encoding="utf-8")), encoding="utf-8")
