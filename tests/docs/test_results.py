"""The pages have the figures of the results' files, and say which are of an earlier version."""

import pytest

from benchmarks.provenance.status import CURRENT, NOT_REPRODUCIBLE, STALE, Status
from docs._generate import results

PAGE = results.OVERVIEW.read_text(encoding="utf-8")
ROOT = results.ROOT
UNCHECKED = ("log.md", "test-looks.md")  # tell of what was


def status(name: str, state: str, *, missing_data: bool = False) -> Status:
    return Status(name, state, "why", "a" * 40, "decant bench x", missing_data=missing_data)


@pytest.fixture
def some_current(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo and MovieLens 1M are current, all others are of an earlier version."""
    states = {
        "demo": status("demo", CURRENT),
        "demo-groups": status("demo-groups", STALE),
        "movielens-1m": status("movielens-1m", NOT_REPRODUCIBLE, missing_data=True),
        "movielens-1m-groups": status("movielens-1m-groups", CURRENT),
        "online-retail": status("online-retail", NOT_REPRODUCIBLE),
        "faults": status("faults", STALE),
    }
    monkeypatch.setattr(results, "by_name", lambda: states)


def test_every_page_has_the_figures_of_now_and_says_which_are_of_an_earlier_version() -> None:
    old = [
        path.relative_to(ROOT).as_posix()
        for path, wanted in results.pages().items()
        if path.read_text(encoding="utf-8") != wanted
    ]
    assert old == [], "run `python -m docs._generate.results`"


def test_every_page_that_takes_figures_from_results_has_the_mark() -> None:
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), results.OVERVIEW]
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    citing = {p for p, text in texts.items() if p.name not in UNCHECKED and results.cited(p, text)}
    assert {p.name for p in citing if results.MEASURED not in texts[p]} == set()
    assert ROOT / "README.md" in citing and results.OVERVIEW in citing


def test_an_old_table_is_replaced_and_the_rest_stays() -> None:
    page = f"before\n\n{results.MARK}\n\n| a |\n|---|\n| 1 |\n\nafter\n"
    renewed = results.renewed(page)
    assert renewed == f"before\n\n{results.MARK}\n\n{results.overview()}\n\nafter\n"


@pytest.mark.usefixtures("some_current")
def test_each_row_of_the_table_says_when_it_was_measured() -> None:
    rows = {row.split(" | ")[0][2:]: row for row in results.overview().splitlines()[2:]}
    assert rows["demo shop"].endswith("| current |")
    assert rows["MovieLens 1M"].endswith("| current |")  # data that is not here does not count
    assert rows["Online Retail"].endswith("| at an earlier version |")


@pytest.mark.usefixtures("some_current")
def test_a_row_of_two_pages_names_the_one_that_is_of_an_earlier_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def page_of(data_set: str, names: tuple[str, ...]) -> str:
        return f"{data_set}-groups" if "family.ndcg@10" in names else data_set

    monkeypatch.setattr(results, "page_of", page_of)
    monkeypatch.setattr(results, "earlier", lambda: {"movielens-1m-groups"})
    assert results.measured("movielens-1m") == "movielens-1m-groups: at an earlier version"


@pytest.mark.usefixtures("some_current")
def test_the_sentence_of_a_page_names_data_sets_once() -> None:
    names = ["demo", "demo-groups", "faults", "movielens-1m"]
    assert results.note(names) == (
        "On this page measured at an earlier version (`decant bench --status`): demo shop, faults."
    )
    assert results.note(["demo"]) == "The figures on this page are of this version."
    text = f"[demo](results/demo.md)\n\n{results.MEASURED}\nOld sentence,\nof two lines.\n\nafter\n"
    expected = text.replace("Old sentence,\nof two lines.", results.note(["demo"]))
    assert results.noted(ROOT / "docs/index.md", text) == expected


@pytest.mark.usefixtures("some_current")
def test_the_readme_cites_the_data_sets_that_it_names() -> None:
    text = "On the demo shop and Online Retail."
    assert results.cited(ROOT / "README.md", text) == ["demo", "demo-groups", "online-retail"]
    assert results.cited(ROOT / "docs/index.md", text) == []


@pytest.mark.usefixtures("some_current")
def test_a_page_of_results_says_below_its_title_that_it_is_of_an_earlier_version() -> None:
    page = "# faults\n\nMade by a command.\n"
    marked = results.of_results("faults", page)
    assert marked.splitlines()[2].startswith("> Measured at an earlier version, `aaaaaaaaaaaa`;")
    assert results.of_results("faults", marked) == marked
    assert results.of_results("demo", marked) == page


def test_every_page_of_results_is_linked() -> None:
    names = {path.name for path in results.RESULTS.glob("*.md")} - {results.OVERVIEW.name}
    assert {name for name in names if f"]({name})" not in PAGE} == set()
