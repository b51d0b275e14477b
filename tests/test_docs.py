"""The pages of the documentation tell the truth: commands, settings and places exist."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from decant import api
from decant.data.sources.layout import check_present
from decant.params.data import Ingest
from docs._generate import settings
from tests.fixtures import pages

ROOT = Path(__file__).resolve().parents[1]
# the log and the looks tell of what was; the pages of results are written by benchmarks
PATHS = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "docs/results/README.md"]
TEXTS = {
    path.name: path.read_text(encoding="utf-8")
    for path in [*PATHS, ROOT / "CONTRIBUTING.md"]
    if path.name not in ("log.md", "test-looks.md")
}


def each(finder: Callable[[str], list[str]]) -> list[tuple[str, str]]:
    """Whatever is found, with the name of its page."""
    return [(name, item) for name, text in TEXTS.items() for item in finder(text)]


@pytest.mark.parametrize(("page", "line"), each(pages.shell_lines))
def test_every_command_that_a_page_shows_exists_with_its_options(page: str, line: str) -> None:
    pages.check(line)


@pytest.mark.parametrize(("page", "line"), each(pages.inline_commands))
def test_so_does_every_command_in_a_sentence(page: str, line: str) -> None:
    pages.check(line, complete=False)


def test_every_setting_that_a_page_names_exists() -> None:
    known = {setting.key for setting in settings.settings(ROOT)}
    assert [(page, key) for page, key in each(pages.settings_named) if key not in known] == []


def test_every_place_that_a_page_names_exists() -> None:
    missing = [(page, p) for page, p in each(pages.places_named) if not (ROOT / p).exists()]
    assert missing == []


def test_what_is_wrong_on_a_page_is_seen() -> None:
    text = "`teacher.width: 3` `decant show` `make nothing` in decant/no_such.py, tasks/NAME.py"
    assert pages.settings_named(text) == ["teacher.width"]
    assert pages.inline_commands(text) == ["decant show", "make nothing"]
    assert pages.places_named(text) == ["decant/no_such.py"]
    for line in ("decant show", "decant status --jso x", "make nothing", "make run PROT=1",
                 "python -m flows.tune --aply", "python -m no_such", "rm x"):  # fmt: skip
        with pytest.raises((AssertionError, ValueError)):
            pages.check(line)


def test_the_tutorial_makes_the_tables_that_it_describes(tmp_path: Path) -> None:
    text = TEXTS["tutorial.md"]
    (code,) = pages.blocks(text, "python")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    described = Ingest.model_validate(yaml.safe_load(pages.blocks(text, "yaml")[0])["ingest"])
    shop = tmp_path / "shop"
    assert [path.name for path in check_present("files", shop, described).events] == ["log.csv"]
    log, customers = (pd.read_csv(shop / name) for name in ("log.csv", "customers.csv"))
    assert f"{len(log):,} events" in text
    assert {described.user, described.item, described.time, described.behaviour} <= {*log.columns}
    shown = re.findall(r"^(c\d,\w+,\d+,\w+)", text, flags=re.MULTILINE)
    assert shown == [",".join(map(str, row)) for row in log.head(2).to_numpy()]
    assert set(log[described.user]) <= set(customers[described.user])


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "reference" / "settings.html").is_file()


def test_every_public_name_is_on_the_page_of_the_api() -> None:
    shown = re.findall(r"^        - (\w+)$", TEXTS["api.md"], flags=re.MULTILINE)
    assert sorted(shown) == sorted(api.__all__)
