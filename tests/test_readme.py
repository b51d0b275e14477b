"""The README and the pages beside it tell the truth: their commands, files and settings exist."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from benchmarks.system.demo import HEAD
from decant import api
from decant.cli import COMMANDS
from decant.params.load import parse_params
from tests.fixtures.pages import check, shell_lines

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = "\n".join(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").glob("*.md")))


@pytest.mark.parametrize("line", shell_lines(README))
def test_every_command_that_is_shown_exists(line: str) -> None:
    check(line)


def test_every_decant_command_is_shown() -> None:
    pages = README + PAGES
    shown = {
        shlex.split(line)[1] for line in shell_lines(pages) if line.startswith(".venv/bin/decant")
    }
    assert set(COMMANDS) - shown - set(re.findall(r"decant ([a-z]+)", pages)) == set()


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 130


def test_every_page_and_picture_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_python_that_the_readme_shows_calls_what_there_is() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    called = re.findall(r"decant\.(\w+)\(", example)
    assert len(called) > 4 and set(called) <= set(api.__all__)
    compile(example, "README.md", "exec")


def test_every_source_that_make_run_is_shown_with_is_one() -> None:
    for source in re.findall(r"SOURCE=([a-z0-9-]+)", README):
        parse_params({"source": source})


def test_the_settings_of_the_pages_beside_it_are_some() -> None:
    for block in re.findall(r"```yaml\n(.*?)```", PAGES, flags=re.DOTALL):
        parse_params(yaml.safe_load(block))


def test_the_layout_of_own_tables_is_one_that_is_read() -> None:
    block = re.search(r"```yaml\n(.*?)```", README, flags=re.DOTALL)
    assert block is not None
    parse_params(yaml.safe_load(block.group(1)))


def table_of(page: str) -> list[str]:
    """The lines of the table that a run ends with, as a page shows it."""
    block = re.search(rf"```text\n({HEAD}.*?)```", page, flags=re.DOTALL)
    assert block is not None
    return block.group(1).splitlines()


def test_the_table_that_the_readme_shows_is_part_of_that_of_a_measured_run() -> None:
    measured = table_of((RESULTS / "demo.md").read_text(encoding="utf-8"))
    shown = table_of(README)
    assert [line for line in shown if line not in measured] == []
    assert shown == sorted(shown, key=measured.index)


def test_the_figures_of_the_table_are_those_of_the_results_file() -> None:
    figures = json.loads((RESULTS / "demo.json").read_text(encoding="utf-8"))["figures"]
    cells = {line[:38].split()[0]: line[38:].split() for line in table_of(README)[1:] if line[38:]}
    best = next(line for line in table_of(README) if "(best traditional)" in line)
    shown = {
        "baseline.best": best[38:].split(),
        "teacher": cells["teacher"],
        "family": cells["family,"],
    }
    for model, values in shown.items():
        assert values[0] == f"{figures[f'{model}.ndcg@10']['value']:.4f}", model
    assert cells["family,"][2] == f"{100 * figures['retention.family']['value']:.1f}"
    assert cells["teacher"][4] == f"{100 * figures['oracle.share.teacher']['value']:.1f}"


def test_the_gain_of_groups_in_the_readme_is_that_of_the_results_file() -> None:
    (shown,) = re.findall(r"gain (\d+) % over one general student", " ".join(README.split()))
    figures = json.loads((RESULTS / "demo.json").read_text(encoding="utf-8"))["figures"]
    assert int(shown) == round(100 * figures["segments.mean_gain"]["value"])
    (lift,) = re.findall(r"traditional models, on the demo (\d+) %", " ".join(README.split()))
    assert int(lift) == round(100 * figures["family.lift"]["value"])


def test_traditional_models_are_better_where_the_readme_says_so() -> None:
    figures = json.loads((RESULTS / "online-retail.json").read_text(encoding="utf-8"))["figures"]
    text = " ".join(README.split())
    claim = re.search(
        r"on Online Retail the best traditional model beats the teacher by (\d+) %", text
    )
    lift = figures["teacher.lift"]["value"]
    assert (claim is not None) == (lift < 0)
    assert claim is None or int(claim[1]) == round(-100 * lift)


def test_every_place_the_readme_names_exists() -> None:
    rows = re.findall(r"^\| (`.*?) \|", README, flags=re.MULTILINE)
    made_by_runs = {"registry/"}
    for place in (p for row in rows for p in re.findall(r"`([^`]+)`", row)):
        assert place in made_by_runs or (ROOT / place).exists(), place


def test_every_odd_input_names_tests_that_exist_and_every_sample_is_listed() -> None:
    page = (ROOT / "docs" / "inputs.md").read_text(encoding="utf-8")
    named = set(re.findall(r"tests/[\w./-]+", page)) - {"tests/inputs"}
    assert {place for place in named if not (ROOT / place).exists()} == set()
    samples = {path.parent.name for path in (ROOT / "tests" / "inputs").glob("*/case.yaml")}
    assert samples == {Path(place).name for place in named if place.startswith("tests/inputs/")}
