"""What is said of a results file: current, stale, or not reproducible."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.catalogue import BENCHMARKS, DEMO
from benchmarks.cli import parse
from benchmarks.provenance.ingredients import PACKAGES, ingredients
from benchmarks.provenance.settings import Chosen
from benchmarks.provenance.status import (
    CURRENT,
    DECISION,
    NOT_REPRODUCIBLE,
    STALE,
    Status,
    in_words,
    statuses,
    table,
)
from tasks.runner.code_digest import Code

CHOSEN = Chosen("full")


def result_of(root: Path, **changes: Any) -> dict[str, Any]:
    """A results file of the benchmark `try`, made of what is there now."""
    made_of = ingredients(Code(root, PACKAGES), BENCHMARKS["try"], CHOSEN, [root])
    return {
        "name": "try", "command": "decant bench try --from DIR --test why", "commit": "a" * 40,
        "protocol": {}, "seeds": [7], "seconds": 1.0, "figures": {},
        "provenance": {**asdict(made_of), "chosen": CHOSEN.as_json()},
        **changes,
    }  # fmt: skip


def status_of(root: Path, result: dict[str, Any]) -> Status:
    folder = root / "docs/results"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{result['name']}.json").write_text(json.dumps(result))
    return {one.name: one for one in statuses(root, parse)}[result["name"]]


def test_what_has_not_changed_is_current(project: Path) -> None:
    one = status_of(project, result_of(project))
    assert (one.state, one.changed, one.earlier) == (CURRENT, {}, False)
    assert one.command == f"decant bench try --from DIR --test '{DECISION}'"


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("decant/late.py", "later = 2\n", "code: evaluate"),
        ("data/raw/movielens-1m/ratings.dat", "x", "data: data/raw/movielens-1m"),
        ("constraints.txt", "numpy==9\n", "libraries: numpy"),
    ],
)
def test_a_changed_ingredient_makes_it_stale(
    project: Path, file: str, content: str, why: str
) -> None:
    result = result_of(project)
    (project / file).write_text(content)
    one = status_of(project, result)
    assert (one.state, one.why, one.earlier) == (STALE, why, True)


def test_a_profile_that_is_gone_makes_it_stale(project: Path) -> None:
    result = result_of(project)
    result["provenance"]["chosen"]["profile"] = "huge"
    one = status_of(project, result)
    assert one.state == STALE and "has no profile `huge`" in one.why


def test_data_that_is_not_here_cannot_be_checked_and_does_not_count_on_pages(
    project: Path,
) -> None:
    result = result_of(project)
    for file in sorted((project / "data/raw/movielens-1m").rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    one = status_of(project, result)
    assert (one.state, one.missing_data, one.earlier) == (NOT_REPRODUCIBLE, True, False)
    assert "its data is not here to check: data/raw/movielens-1m" in one.why
    (project / "decant/deep.py").write_text("value = 2\n")
    assert status_of(project, result).why == "code: benchmarks.speed, features"


def test_data_that_follows_from_code_and_settings_is_recorded_but_not_compared(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generated = replace(BENCHMARKS["try"], source=DEMO)
    monkeypatch.setitem(BENCHMARKS, "try", generated)
    result = result_of(project)
    result["provenance"]["data"] = {"data/raw/demo": "8d.dir"}
    assert status_of(project, result).state == CURRENT


def test_the_clone_that_is_kept_has_the_data_too(project: Path) -> None:
    result = result_of(project)
    kept = project / ".decant/bench/movielens-1m/data"
    kept.mkdir(parents=True)
    (project / "data/raw").rename(kept / "raw")
    assert status_of(project, result).state == CURRENT


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"command": "decant bench gone"}, "no benchmark `gone`"),
        ({"command": "decant bench"}, "no benchmark is named"),
        ({"command": "decant bench try --tries 2"}, "unrecognized arguments: --tries 2"),
        ({"command": "decant bench try --seeds 2"}, "--seeds: try takes --from"),
    ],
)
def test_a_command_that_no_longer_exists_is_said(
    project: Path, changes: dict[str, Any], why: str
) -> None:
    one = status_of(project, result_of(project, **changes))
    assert one.state == NOT_REPRODUCIBLE and one.earlier
    assert one.why.startswith("its command no longer exists") and why in one.why


def test_a_page_may_have_another_name_than_its_benchmark(project: Path) -> None:
    one = status_of(project, result_of(project, name="try-of-another-kind"))
    assert (one.name, one.state) == ("try-of-another-kind", CURRENT)
    assert one.command == f"decant bench try --from DIR --test '{DECISION}'"
    gone = status_of(project, result_of(project, name="lost", command="decant bench lost"))
    assert (gone.state, gone.command) == (NOT_REPRODUCIBLE, "")


def test_an_older_layout_is_said_and_its_commit_is_known(project: Path) -> None:
    result = result_of(project)
    del result["provenance"]
    one = status_of(project, result)
    assert (one.state, one.commit) == (NOT_REPRODUCIBLE, "a" * 40)
    assert one.why == "older layout: it does not record code, settings and data"
    del result["protocol"]
    one = status_of(project, result)
    assert one.state == NOT_REPRODUCIBLE and one.commit == "a" * 40
    assert "an earlier layout, without `protocol`" in one.why


def test_many_changes_are_counted() -> None:
    changed = {"code": [f"tasks.{name}" for name in "abcdef"], "libraries": ["numpy"]}
    assert in_words(changed) == "code: a, b, c, d and 2 more; libraries: numpy"


def test_the_table_has_state_commit_and_command(project: Path) -> None:
    text = table([status_of(project, result_of(project))])
    assert "try  current: nothing has changed" in text
    assert "measured at aaaaaaaaaaaa" in text and "again: decant bench try --from DIR" in text
    assert table([]) == ""
