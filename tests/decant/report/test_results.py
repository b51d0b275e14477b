"""A results file says what was measured, how, and by which command."""

import json
from pathlib import Path
from typing import Any

import pytest

from decant.report.results import Outcome, ResultsError, document, number, page, read, write

KEYS = {"name", "command", "commit", "protocol", "seeds", "seconds", "figures"}


@pytest.fixture
def outcome() -> Outcome:
    made = Outcome({"shop": "a small one"}, [7])
    made.figures["teacher.ndcg@10"] = {"value": 0.51234, "low": 0.49, "high": 0.53, "n": 800}
    made.measured("faults", 44)
    made.holds("release.same", True, "never said")
    return made


def test_a_results_file_has_exactly_the_keys_that_were_agreed(outcome: Outcome) -> None:
    result = document("demo", outcome, "abc123", 12.34)
    assert set(result) == KEYS
    assert result["command"] == "decant bench demo"
    assert all(set(f) == {"value", "low", "high", "n"} for f in result["figures"].values())


def test_both_files_are_written_and_nothing_else_is_left(outcome: Outcome, tmp_path: Path) -> None:
    result = document("demo", outcome, "abc123", 12.34)
    paths = write(tmp_path / "docs/results", result, outcome)
    assert sorted(p.name for p in (tmp_path / "docs/results").iterdir()) == ["demo.json", "demo.md"]
    assert json.loads(paths[0].read_text()) == result


def test_the_page_shows_the_command_and_each_figure_with_its_interval(outcome: Outcome) -> None:
    text = page(document("demo", outcome, "abc123", 12.34), outcome)
    assert "Made by `decant bench demo` in 12 s, of commit `abc123`, seed 7." in text
    assert "- shop: a small one" in text
    assert "| `teacher.ndcg@10` | 0.5123 | 0.49 to 0.53 | 800 |" in text
    assert "| `faults` | 44 |  |  |" in text
    assert "did not hold" not in text


@pytest.fixture
def provenance() -> dict[str, Any]:
    machine = {"cpu": "Fast CPU", "cores": 2, "platform": "linux x86_64", "python": "3.11.7"}
    trained = {
        "commit": "fedcba9876543210",
        "arithmetic": {"device": "cpu", "precision": "bfloat16", "threads": 1},
        "machine": {**machine, "accelerator": None},
        "seconds": {"teacher": 1234.5, "general": 65.5},
    }
    return {
        "key": "0123456789abcdef", "code": {"tasks.a": "1", "tasks.b": "2"}, "settings": {"a.b": 1},
        "data": {"data/raw/x": "9.dir"}, "libraries": {"prefect": "3.8.8", "torch": "2.13.0"},
        "machine": machine, "trained": [trained],
    }  # fmt: skip


def test_the_page_shows_what_figures_were_made_of(
    outcome: Outcome, provenance: dict[str, Any]
) -> None:
    text = page(document("demo", outcome, "abc123", 12.34, provenance=provenance), outcome)
    assert "of commit `abc123`, seed 7; the last call took 12 s." in text
    for line in (
        "- made of: 2 programs, 1 settings and the libraries below; key `0123456789ab`",
        "- raw data: `data/raw/x` with MD5 9.dir",
        "- libraries: torch 2.13.0 and 1 more",
        "- machine: Fast CPU, 2 cores, linux x86_64, Python 3.11.7",
        "- trained: 2 models in 1,300 s, `teacher` the longest with 1,234 s; bfloat16 on Fast CPU, "
        "1 thread, of commit `fedcba987654`",
    ):
        assert line in text


def test_training_on_a_gpu_names_it_and_generated_data_is_said(
    outcome: Outcome, provenance: dict[str, Any]
) -> None:
    provenance["trained"][0]["machine"]["accelerator"] = "Fast GPU"
    provenance["data"] = {}
    text = page(document("demo", outcome, "abc123", 1, provenance=provenance), outcome)
    assert "bfloat16 on Fast GPU, 1 thread" in text
    assert "- raw data: generated" in text


def test_the_provenance_is_a_key_of_its_own(outcome: Outcome, provenance: dict[str, Any]) -> None:
    result = document("demo", outcome, "abc123", 1, provenance=provenance)
    assert set(result) == {*KEYS, "provenance"}


def test_the_page_shows_what_the_run_ended_with(outcome: Outcome) -> None:
    assert "```" not in page(document("demo", outcome, "abc123", 1), outcome)
    outcome.shown = "teacher  0.5"
    assert "\n```text\nteacher  0.5\n```\n" in page(document("demo", outcome, "a", 1), outcome)


def test_what_does_not_hold_is_a_zero_and_said_aloud(outcome: Outcome) -> None:
    outcome.holds("release.two_clones", False, "release a, the first run's b")
    assert outcome.figures["release.two_clones"]["value"] == 0
    assert outcome.failures == ["release.two_clones: release a, the first run's b"]
    text = page(document("reruns", outcome, "abc123", 1), outcome)
    assert text.endswith("- release.two_clones: release a, the first run's b\n")


def test_a_figure_that_is_no_number_is_not_written(outcome: Outcome, tmp_path: Path) -> None:
    outcome.measured("broken", float("nan"))
    with pytest.raises(ValueError, match="JSON"):
        write(tmp_path, document("demo", outcome, "abc123", 1), outcome)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "shown"), [(44.0, "44"), (0.512345, "0.5123"), (123456.0, "123456"), (-0.5, "-0.5")]
)
def test_numbers_are_short(value: float, shown: str) -> None:
    assert number(value) == shown


def test_a_picture_is_written_beside_the_page_that_shows_it(
    outcome: Outcome, tmp_path: Path
) -> None:
    assert "![" not in page(document("demo", outcome, "a", 1), outcome)
    outcome.picture = "<svg/>"
    write(tmp_path, document("demo", outcome, "a", 1), outcome)
    assert (tmp_path / "demo.svg").read_text() == "<svg/>"
    assert "\n![demo](demo.svg)\n" in (tmp_path / "demo.md").read_text()


def test_another_command_than_a_benchmark_is_named(outcome: Outcome) -> None:
    assert document("demo", outcome, "a", 1, "decant demo")["command"] == "decant demo"


def written(tmp_path: Path, **changes: Any) -> Path:
    """A results file in which some keys are others, or missing if None."""
    outcome = Outcome({}, [1])
    outcome.measured("teacher.ndcg@10", 0.5)
    content = {**document("demo", outcome, "abc", 1.0), **changes}
    path = tmp_path / "demo.json"
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}), "utf-8")
    return path


def test_a_results_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    figure = {"value": 0.5, "low": None, "high": None, "n": None}
    assert read(written(tmp_path))["figures"] == {"teacher.ndcg@10": figure}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"command": None, "seeds": None}, "an earlier layout, without `command`, `seeds`"),
        ({"figures": [1]}, "an earlier layout, in which `figures` is not a mapping"),
        ({"figures": {"a": 0.5}}, "an earlier layout: `a` is not a figure of value, low, high, n"),
        ({"figures": {"a": {"value": 1}}}, "an earlier layout: `a` is not a figure"),
    ],
)
def test_a_results_file_of_an_earlier_layout_names_the_command_that_makes_a_new_one(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(ResultsError, match=f"{problem}.*; `decant bench demo` measures it again"):
        read(path)


def test_a_damaged_results_file_is_reported_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "demo.json"
    path.write_text("{", "utf-8")
    with pytest.raises(ResultsError, match="not valid JSON"):
        read(path)


def test_every_published_results_file_can_be_read() -> None:
    files = sorted((Path(__file__).resolve().parents[3] / "docs/results").glob("*.json"))
    assert len(files) > 10
    assert [read(path)["name"] for path in files] == [path.stem for path in files]


def test_a_page_with_many_figures_lists_the_general_ones_and_names_the_file() -> None:
    outcome = Outcome({}, [1])
    for place in range(60):
        outcome.measured(f"detail.of.{place}", place)
    outcome.figures["teacher.lift"] = {"value": 0.1, "low": 0.0, "high": 0.2, "n": 9}
    text = page(document("demo", outcome, "abc", 1.0), outcome)
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) == 12
    assert "| `teacher.lift` | 0.1 | 0 to 0.2 | 9 |" in rows
    assert "49 more figures: [demo.json](demo.json)." in text
