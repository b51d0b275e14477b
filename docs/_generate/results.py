"""What the pages say of results: the table of their overview, and which are of an earlier version.

Run: `python -m docs._generate.results` writes both into the pages.
"""

import re
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.cli import parse
from benchmarks.provenance.status import Status, statuses
from decant.report.results import read
from docs._generate.schema import table

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"
OVERVIEW = RESULTS / "README.md"
DIFFERENCE = RESULTS / "difference.md"  # written by docs/_generate/difference.py
MARK = "<!-- figures: python -m docs._generate.results -->"
MEASURED = "<!-- measured: python -m docs._generate.results -->"
EARLIER = "measured at an earlier version"
CURRENT = "current"
STATUS, GLUE = "decant bench --status", "\0"
WIDTH = 120
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
        (text, *(cell(name, *column) for column in COLUMNS.values()), measured(name))
        for name, text in DATA_SETS.items()
    ]
    return table(("data set", *COLUMNS, "measured"), rows)


def measured(data_set: str) -> str:
    """Whether the figures of a row are current; names the pages if only some are not."""
    used = dict.fromkeys(
        page for names, _ in COLUMNS.values() if (page := page_of(data_set, names)) is not None
    )
    old = [page for page in used if page in earlier()]
    if not old:
        return CURRENT
    at = EARLIER.removeprefix("measured ")
    return at if len(old) == len(used) else f"{', '.join(old)}: {at}"


@cache
def by_name() -> dict[str, Status]:
    """The status of every results file by name."""
    return {one.name: one for one in statuses(ROOT, parse)}


def earlier() -> set[str]:
    """Names of results that were measured at an earlier version."""
    return {name for name, one in by_name().items() if one.earlier}


def page_of(data_set: str, names: tuple[str, ...]) -> str | None:
    """The page with the first of some figures of a data set."""
    pages = (data_set, f"{data_set}-groups")
    return next((p for p in pages if any(name in figures(p) for name in names)), None)


def cell(data_set: str, names: tuple[str, ...], relative: bool) -> str:
    """One figure with its interval, linked to the page that has it."""
    for page in (data_set, f"{data_set}-groups"):
        for name in names:
            if figure := figures(page).get(name):
                parts = [figure["value"], figure["low"], figure["high"]]
                value, *bounds = (
                    f"{100 * part:.0f}" if relative else f"{part:.4f}"
                    for part in parts
                    if part is not None
                )
                value = f"{value} %" if relative else value
                # an interval stays on one line
                interval = f" [{bounds[0]},\N{NO-BREAK SPACE}{bounds[-1]}]" if bounds else ""
                interval = interval.replace("-", "\N{MINUS SIGN}")
                return f"[{value}]({page}.md){interval}".replace("[-", "[\N{MINUS SIGN}")
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


def cited(path: Path, text: str) -> list[str]:
    """Names of the results that a page takes figures from: those that it links to; in the README,
    which has few links, those of each data set that it names."""
    linked = [name for name in by_name() if f"results/{name}.md" in text or f"]({name}.md" in text]
    if path == ROOT / "README.md":
        named = [name for name, title in DATA_SETS.items() if title in text]
        linked += [f"{name}{end}" for name in named for end in ("", "-groups")]
    return [name for name in dict.fromkeys(linked) if name in by_name()]


def note(names: list[str]) -> str:
    """A sentence on which of some results are of an earlier version."""
    old = [name for name in names if name in earlier()]
    if not old:
        return "The figures on this page are of this version."
    titles = dict.fromkeys(title_of(name) for name in old)
    line = f"On this page {EARLIER} (`{STATUS}`): {', '.join(titles)}."
    return filled(line)


def filled(text: str, indent: str = "") -> str:
    """A paragraph in lines of a page, a command in backticks on one line; `indent`: of all lines
    but the first."""
    whole = re.sub(r"`[^`]*`", lambda code: code[0].replace(" ", GLUE), text)
    lines = textwrap.fill(whole, WIDTH, subsequent_indent=indent, break_on_hyphens=False)
    return lines.replace(GLUE, " ")


def title_of(name: str) -> str:
    """The data set of a results file, else its name."""
    data_set = name.partition("-groups")[0].removesuffix("-losses")
    return DATA_SETS.get(data_set, name)


def noted(path: Path, text: str) -> str:
    """A page with the sentence of now behind its mark; up to the next empty line is replaced."""
    before, _, after = text.partition(MEASURED)
    rest = re.sub(r"\A\n([^\n]+\n)*", "", after)
    return f"{before}{MEASURED}\n{note(cited(path, text))}\n{rest}"


def of_results(name: str, text: str) -> str:
    """A page of results with a line below its title if it was measured at an earlier version."""
    title, _, rest = text.partition("\n")
    rest = re.sub(r"\A\n> [^\n]*\n", "", rest)
    if name not in earlier():
        return f"{title}\n{rest}"
    commit = (by_name()[name].commit or "unknown")[:12]
    line = f"> {EARLIER.capitalize()}, `{commit}`; `{STATUS}` says what has changed."
    return f"{title}\n\n{line}\n{rest}"


def pages() -> dict[Path, str]:
    """All pages that say something of results, as they should be."""
    docs = sorted((ROOT / "docs").glob("*.md"))
    texts = {
        path: path.read_text(encoding="utf-8")
        for path in [ROOT / "README.md", *docs, OVERVIEW, DIFFERENCE]
    }
    wanted = {path: noted(path, text) for path, text in texts.items() if MEASURED in text}
    wanted[OVERVIEW] = renewed(wanted.get(OVERVIEW, texts[OVERVIEW]))
    for name in by_name():
        path = RESULTS / f"{name}.md"
        if path.is_file():
            wanted[path] = of_results(name, path.read_text(encoding="utf-8"))
    return wanted


if __name__ == "__main__":
    for place, content in pages().items():
        if content != place.read_text(encoding="utf-8"):
            place.write_text(content, encoding="utf-8")
            print(f"wrote {place.relative_to(ROOT)}")
