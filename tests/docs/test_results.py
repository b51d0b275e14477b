"""The overview of the results has the figures of the results' files."""

from docs._generate import results

PAGE = results.OVERVIEW.read_text(encoding="utf-8")


def test_the_overview_has_the_figures_of_now() -> None:
    assert results.renewed(PAGE) == PAGE, "run `python -m docs._generate.results`"


def test_an_old_table_is_replaced_and_the_rest_stays() -> None:
    page = f"before\n\n{results.MARK}\n\n| a |\n|---|\n| 1 |\n\nafter\n"
    renewed = results.renewed(page)
    assert renewed == f"before\n\n{results.MARK}\n\n{results.overview()}\n\nafter\n"


def test_every_page_of_results_is_linked() -> None:
    names = {path.name for path in results.RESULTS.glob("*.md")} - {results.OVERVIEW.name}
    assert {name for name in names if f"]({name})" not in PAGE} == set()
