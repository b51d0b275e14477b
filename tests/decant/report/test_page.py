"""The page: complete, self-contained, honest about what failed and what is missing."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest
from jinja2 import UndefinedError

from decant.params.models import Student
from decant.report import plots
from decant.report.page import TEMPLATES, page

VOID = {"meta"}


class Reader(HTMLParser):
    """Checks that what is opened is closed; keeps the text, the ids and the links."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.words: list[str] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            self.attributes.append((tag, name, value))
            if name == "id" and value is not None:
                self.ids.append(value)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(autouse=True)
def blank(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pictures take most of the time of a page; only tests marked by `drawn` draw them."""
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(plots, "svg", lambda *_, **__: "<svg></svg>")
    yield


@pytest.fixture
def drawn() -> None:
    """The pictures of a page are drawn."""


def read(evidence: Any) -> Reader:
    reader = Reader(page(evidence))
    assert not reader.open
    return reader


def test_the_page_is_well_formed_and_its_links_lead_somewhere(run: Any) -> None:
    reader = read(run.evidence())
    assert len(reader.ids) == len(set(reader.ids))
    links = {value for tag, name, value in reader.attributes if (tag, name) == ("a", "href")}
    parts = {value for tag, name, value in reader.attributes if (tag, name) == ("section", "id")}
    assert links == {f"#{name}" for name in parts}
    assert {"steps", "trade-off", "segments", "baselines", "oracle", "gate", "data"} < parts
    labels = {value for _, name, value in reader.attributes if name == "aria-labelledby"}
    assert labels <= set(reader.ids)


def test_nothing_is_fetched_from_anywhere(run: Any, drawn: None) -> None:
    markup = page(run.evidence())
    assert not re.search(r"https?:|//\w|@import|url\((?!#)|<script|<link|<img|\bsrc=", markup)
    assert set(re.findall(r'href="(.)', markup)) == {"#"}


def test_the_same_run_gives_the_same_page(run: Any, drawn: None) -> None:
    assert page(run.evidence()) == page(run.evidence())


def test_every_check_student_hop_and_baseline_is_named(run: Any) -> None:
    text = read(run.evidence()).text
    for check in run.verdict["checks"]:
        assert check["name"] in text and check["why"] in text
    for name in ("general", "women", "men", "distilled", "pruned", "int8"):
        assert name in text
    for name in ("markov", "item_knn", "popularity", "windowed_markov", "short_markov"):
        assert name in text
    assert "gender == 'M' and age < 35" in text


def test_a_run_that_passed_says_so(run: Any) -> None:
    evidence = run.evidence()
    assert run.verdict["passed"]
    assert "Passed." in read(evidence).text
    assert "FAIL" not in read(evidence).text.replace("is a FAIL", "")


def test_a_run_that_failed_says_so_first_and_names_what_failed(run: Any) -> None:
    run.verdict["passed"] = False
    checks = {check["name"]: check for check in run.verdict["checks"]}
    checks["lift"] |= {"passed": False, "value": 0.02, "bound": -0.0312, "threshold": 0.01}
    checks["retention"] |= {"passed": False, "value": None, "bound": None}
    reader = read(run.evidence())
    assert ("div", "class", "verdict failed") in reader.attributes
    start = reader.text[: reader.text.index("Compression steps")]
    assert f"must not be released: 2 of {len(run.verdict['checks'])} checks failed" in start
    assert "lift : 0.02, bound −0.0312, must be at least 0.01" in start
    assert "retention : not measured, must be at least 0.9" in start
    assert "to do: counting is as good as the models" in start
    assert "to do: the evidence is incomplete" in start
    assert "gate failed" in reader.text


def test_a_run_that_is_held_for_a_person_says_why(run: Any) -> None:
    run.verdict["held"] = ["women: its student loses 0.0312 NDCG"]
    text = read(run.evidence()).text
    assert "A person must decide on the release, the test window shows a loss" in text
    assert "held for a person: women: its student loses 0.0312 NDCG" in text


def test_each_group_stands_beside_the_teacher_and_the_bar(run: Any) -> None:
    text = read(run.evidence()).text
    assert "The family as released against the teacher and the best traditional model" in text
    retention = run.verdict["groups"]["women"]["retention"]
    assert f"{100 * retention['lower_bound']:.1f}" in text


def test_a_verdict_without_checks_is_a_failure(run: Any) -> None:
    reader = read(run.change(verdict={}).evidence())
    assert "must not be released: there are no checks" in reader.text
    assert "The verdict has no checks" in reader.text


@pytest.mark.parametrize(
    "key",
    ["ndcg", "latency_us", "bytes", "test", "validation", "coverage", "hr", "oracle", "protocol",
     "teacher", "general/int8", "women/int8", "all", "best_baseline", "segments", "family"],
)  # fmt: skip
def test_a_figure_that_is_missing_is_said_to_be_not_measured(
    run: Any, without: Any, key: str
) -> None:
    changed = run.change(metrics=without(run.metrics, key), verdict=without(run.verdict, key))
    kept = run.cases[run.cases["model"] != key]
    reader = read(changed.change(cases=kept).evidence())
    assert re.search("not measured", reader.text, re.IGNORECASE)


def test_a_run_without_any_summaries_is_shown_all_the_same(run: Any) -> None:
    origin = type(run.origin)({}, {}, {})
    text = read(run.change(origin=origin, hops={}).evidence()).text
    assert "Rows: not measured" in text and "Expectations: not measured" in text


def test_a_segment_that_does_not_ship_is_shown_with_who_serves_it(run: Any) -> None:
    text = read(run.evidence()).text
    assert "general serves, not better than general on validation" in text
    assert "serves this group" in text
    assert "rejected, lost too much quality" in text
    assert "1 of 2" in text


def test_a_merged_segment_is_shown_without_a_model_of_its_own(merged: Any, drawn: None) -> None:
    text = read(merged.evidence()).text
    assert "men: gender == 'M' and age < 35 (30 users, 60 test cases); merged into general" in text
    assert "too few users: merged into general" in text
    assert "men merged into general" in text  # among the user groups
    assert "folded" not in text and not re.search(r"\bmen, int8", text)


def test_a_family_of_general_alone_is_shown(run: Any) -> None:
    verdict = {**run.verdict, "segments": {}}
    students = {"general": run.students["general"]}
    text = read(run.change(verdict=verdict, students=students).evidence()).text
    assert "There are no segments" in text
    text = read(run.change(verdict=verdict).evidence()).text
    assert "Not measured: the verdict names no segment" in text


def test_names_and_rules_are_shown_as_they_are_and_never_as_markup(run: Any) -> None:
    nasty = "<script>alert('x')</script>&amp;"
    run.metrics["protocol"]["source"] = nasty
    run.origin.validated["events"]["logs"][nasty] = {"rows_in": 1, "reasons": {nasty: 3}}
    run.verdict["checks"][0] |= {"name": nasty, "why": nasty}
    run.verdict["segments"]["women"]["reason"] = nasty
    students = {**run.students, "women": Student(init="general", where=f"city == '{nasty}'")}
    reader = read(run.change(students=students).evidence())
    assert "script" not in {tag for tag, _, _ in reader.attributes} | set(reader.open)
    assert "<script" not in page(run.change(students=students).evidence())
    assert reader.text.count("alert('x')") >= 5


def test_a_name_that_matplotlib_or_html_could_read_is_drawn_as_it_is(run: Any, drawn: None) -> None:
    name = "_$x_1$<b>"
    students = {name if n == "women" else n: student for n, student in run.students.items()}
    judged = {name if n == "women" else n: s for n, s in run.verdict["segments"].items()}
    verdict = {**run.verdict, "segments": judged}
    markup = page(run.change(students=students, verdict=verdict).evidence())
    assert "<text" in markup and ">_$x_1$&lt;b&gt;</text>" in markup
    assert "<b>" not in markup


def test_tables_have_headings_and_pictures_have_words(run: Any, drawn: None) -> None:
    markup = page(run.evidence())
    assert markup.count("<table>") == markup.count("<caption>")
    tables = re.findall(r"<table>.*?</table>", markup, re.DOTALL)
    assert all('scope="col"' in table and 'scope="row"' in table for table in tables)
    pictures = re.findall(r"<svg.*?</svg>", markup, re.DOTALL)
    assert len(pictures) == 2
    for picture in pictures:
        root = ElementTree.fromstring(picture)
        assert root.attrib["role"] == "img"
        assert [len(root.findtext(name) or "") > 40 for name in ("title", "desc")] == [True] * 2


def test_every_row_of_a_table_has_as_many_cells_as_the_table_has_columns(run: Any) -> None:
    for table in re.findall(r"<table>.*?</table>", page(run.evidence()), re.DOTALL):
        columns = table.count('scope="col"')
        rows = re.findall(r"<tr.*?</tr>", table, re.DOTALL)[1:]
        cells = {len(re.findall(r"<t[hd]\b", row)) for row in rows if "colspan" not in row}
        assert cells == {columns}, table[:200]
        assert set(re.findall(r'colspan="(\d+)"', table)) <= {str(columns)}


def test_figures_on_the_page_are_those_of_the_evaluation(run: Any) -> None:
    evidence = run.evidence()
    text = read(evidence).text
    models, women = run.metrics["models"], run.verdict["segments"]["women"]
    for value in (
        models["teacher"]["test"]["all"]["ndcg"],
        models["women/int8"]["test"]["women"]["hr"],
        models["markov"]["validation"]["all"]["ndcg"],
        run.verdict["family"]["test"]["all"]["ndcg"],
        evidence.figures["family.ndcg@10"]["low"],
    ):
        assert f" {value:.4f} " in text, value
    assert (
        f"{women['gain']:+.4f} {evidence.decisions['women']['validation']['low']:+.4f} to" in text
    )
    assert f"{women['lower_bound']:+.4f}" in text
    assert "Smaller than the teacher 16.7×" in text and "Faster than the teacher 10.0×" in text


def cells(markup: str, caption: str, label: str) -> dict[str, str]:
    """The last row of a label in the table of a caption: the text of each cell by its column."""
    table = next(t for t in markup.split("<table>") if f"<caption>{caption}" in t)
    columns = re.findall(r'scope="col"[^>]*>(.*?)</th>', table)
    row = table.split(f'<th scope="row">{label}')[-1].split("</tr>")[0]
    texts = [re.sub(r"<[^>]+>", " ", cell) for cell in re.split(r"<t[dh]\b[^>]*>", row)]
    return dict(zip(columns, (" ".join(text.split()) for text in texts), strict=True))


def test_each_figure_stands_in_its_own_column(run: Any) -> None:
    run.metrics["models"]["teacher"]["test"]["men"] |= {"hr": 0.71, "precision": 0.072}
    run.metrics["models"]["teacher"]["test"]["men"] |= {"recall": 0.73, "coverage": 0.74}
    evidence = run.evidence()
    markup = page(evidence)
    teacher = cells(markup, "Quality and cost", "teacher")
    assert (teacher["HR@10"], teacher["precision@10"]) == ("0.7100", "0.0720")
    assert (teacher["recall@10"], teacher["coverage"]) == ("0.7300", "74.0 %")
    assert (teacher["size"], teacher["p50"]) == ("1.00 MB", "2.00 ms")
    decisions = evidence.decisions["women"]
    women = cells(markup, "Gain of each segment", "women")
    assert women["gain on validation"].startswith(f"{decisions['validation']['value']:+.4f} ")
    assert women["gain on test"].startswith(f"{decisions['test']['value']:+.4f} ")
    assert decisions["test"]["low"] != decisions["validation"]["low"]
    assert f"{decisions['test']['low']:+.4f} to" in women["gain on test"]
    assert (women["users"], women["served by"]) == ("30", "women")
    markov = cells(markup, "Traditional models", "markov")
    values = run.metrics["models"]["markov"]
    assert markov["NDCG@10 on validation"] == f"{values['validation']['all']['ndcg']:.4f}"
    assert markov["NDCG@10"] == f"{values['test']['all']['ndcg']:.4f}"
    rows = cells(markup, "Outcome of every row", "log views")
    assert [*rows.values()][1:] == ["103", "100", "2", "1"]


def test_the_released_model_of_each_group_alone_is_bold(run: Any) -> None:
    rows = re.findall(r'<tr class="released"><th scope="row">(.*?)</th>', page(run.evidence()))
    assert rows == ["family, as released", "int8", "int8", "general, int8"]


def test_a_template_that_names_what_is_not_given_is_a_mistake() -> None:
    with pytest.raises(UndefinedError, match="never_given"):
        TEMPLATES.from_string("{{ never_given }}").render()


def test_markup_in_a_value_is_escaped_by_every_template() -> None:
    assert TEMPLATES.autoescape is True
    assert TEMPLATES.from_string("{{ x }}").render(x="<b>&\"'") == "&lt;b&gt;&amp;&#34;&#39;"


def test_it_says_what_became_of_every_row_and_how_it_was_measured(run: Any) -> None:
    text = read(run.evidence()).text
    for words in (
        "100 events, 90 users, 20 items",
        "2026-03-01 to 2026-05-30",
        "no user",
        "impossible age",
        "events.time 5",
        "by time: the last 10 % of the events are test",
        "whole catalogue, 20 items",
        "against the model",
        "200 resamples",
        "180 validation, 180 test",
    ):
        assert words in text, words
