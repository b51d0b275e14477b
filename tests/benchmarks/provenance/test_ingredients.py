"""Each ingredient of a figure has its part in the key."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from benchmarks.catalogue import BENCHMARKS
from benchmarks.provenance.ingredients import (
    PACKAGES,
    Ingredients,
    code_of,
    data_in_lock,
    dvc_digest,
    ingredients,
    pinned,
    programs_of,
)
from benchmarks.provenance.settings import Chosen
from decant.params.edit import replace, rewrite
from tasks.runner.code_digest import Code

REPOSITORY = Path(__file__).resolve().parents[3]
CHOSEN = Chosen("full", ())
Change = Callable[[Path], None]


def made_of(root: Path, chosen: Chosen = CHOSEN) -> Ingredients:
    return ingredients(Code(root, PACKAGES), BENCHMARKS["try"], chosen, [root])


def text(name: str, content: str) -> Change:
    return lambda root: (root / name).write_text(content) and None


def params(**changes: object) -> Change:
    def change(root: Path) -> None:
        path = root / "params.yaml"
        replace(path, rewrite(path.read_text(), changes, path))

    return change


def preset(old: str, new: str) -> Change:
    def change(root: Path) -> None:
        path = root / "presets/movielens-1m.yaml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (text("benchmarks/speed.py", "import numpy\n"), {"code": ["benchmarks.speed"]}),
        (
            text("decant/deep.py", "value = 2\n"),
            {"code": ["benchmarks.speed", "tasks.features"]},
        ),
        (text("decant/late.py", "later = 2\n"), {"code": ["tasks.evaluate"]}),
        (params(evaluate={"k": 20}), {"settings": ["evaluate.k"]}),
        (params(ingest={"missing": ["?"]}), {"settings": ["ingest.missing"]}),
        (preset("cases_per_user: 1", "cases_per_user: 2"), {"settings": ["split.cases_per_user"]}),
        (preset("max_length: 200", "max_length: 99"), {"settings": ["features.max_length"]}),
        (text("data/raw/movielens-1m/ratings.dat", "1::2\n"), {"data": ["data/raw/movielens-1m"]}),
        (text("data/raw/movielens-1m/more/b", ""), {"data": ["data/raw/movielens-1m"]}),
        (text("constraints.txt", "numpy==2.5.0\n"), {"libraries": ["numpy"]}),
    ],
)
def test_a_change_of_any_ingredient_is_named_and_changes_the_key(
    project: Path, change: Change, expected: dict[str, list[str]]
) -> None:
    before = made_of(project)
    change(project)
    after = made_of(project)
    assert before.changes(after) == expected
    assert before.key() != after.key()


@pytest.mark.parametrize(
    "change",
    [
        text("decant/deep.py", '"""Told otherwise."""\nvalue = (1)  # a remark\n'),
        text("decant/unused.py", "nobody = 2\n"),
        text("constraints.txt", "numpy==2.4.6\ntqdm==5\n"),  # no program imports it
        params(seed=8),  # is recorded apart
        params(serve={"shutdown_seconds": 3.0}),
        params(evaluate={"k": 10}),
    ],
)
def test_what_no_figure_depends_on_changes_nothing(project: Path, change: Change) -> None:
    before = made_of(project)
    change(project)
    assert before.changes(made_of(project)) == {}
    assert before.key() == made_of(project).key()


def test_options_change_the_settings(project: Path) -> None:
    changed = made_of(project).changes(made_of(project, Chosen("full", (), users=False)))
    assert "students.general" not in changed["settings"]
    assert "features.attributes" in changed["settings"]


def test_a_program_that_is_gone_is_a_change(project: Path) -> None:
    before = made_of(project)
    (project / "tasks/evaluate.py").unlink()
    assert before.changes(made_of(project)) == {"code": ["tasks.evaluate"]}


def test_data_that_follows_from_code_and_settings_is_not_digested(project: Path) -> None:
    code = Code(REPOSITORY, PACKAGES)
    assert ingredients(code, BENCHMARKS["demo"], Chosen(), [project]).data == {}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_program_of_a_benchmark_exists(name: str) -> None:
    digests = code_of(Code(REPOSITORY, PACKAGES), BENCHMARKS[name])
    assert "missing" not in digests.values()
    assert len(digests) == len(programs_of(BENCHMARKS[name]))


def test_the_code_of_traditional_models_and_of_evaluation_counts() -> None:
    code = Code(REPOSITORY, PACKAGES)
    reached = {
        module
        for program in programs_of(BENCHMARKS["movielens-1m"])
        for module in code.closure(program)
    }
    assert {
        "decant.evaluation.baselines.hybrid", "decant.evaluation.metrics", "decant.data.split",
        "decant.features.sequences", "decant.training.losses", "benchmarks.experiments.data_sets",
    } <= reached  # fmt: skip


def test_data_has_the_digest_that_dvc_gives_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for name in ("b.csv", "a/b.csv", "a-b.csv"):  # sorted by name, not by parts of it
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    for arguments in (("init", "--no-scm", "-q"), ("add", "-q", "data")):
        subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=tmp_path, check=True)
    (out,) = yaml.safe_load((tmp_path / "data.dvc").read_text())["outs"]
    assert dvc_digest(folder) == out["md5"]


def test_the_lock_of_a_run_names_its_raw_data(tmp_path: Path) -> None:
    assert data_in_lock(tmp_path, "data/raw/demo") == {}
    outs = [{"path": "data/raw/demo", "md5": "1.dir"}, {"path": "data/raw/old", "md5": "2.dir"}]
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": {"raw": {"outs": outs}}}))
    assert data_in_lock(tmp_path, "data/raw/demo") == {"data/raw/demo": "1.dir"}


def test_pins_are_read_under_the_names_of_the_index(tmp_path: Path) -> None:
    path = tmp_path / "constraints.txt"
    path.write_text("# pinned==0\nPyYAML==6.0.3\nruamel.yaml==0.19.1\nfree\n")
    assert pinned(path) == {"pyyaml": "6.0.3", "ruamel-yaml": "0.19.1"}
    assert pinned(tmp_path / "missing") == {}
