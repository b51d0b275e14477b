"""The settings of a benchmark, found without running it, are those it would write."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.catalogue import BENCHMARKS, Benchmark
from benchmarks.experiments.variants import compare_groups, compare_losses
from benchmarks.harness.checkout import Clone
from benchmarks.harness.demo_workspace import CHANGES, change_params
from benchmarks.provenance.settings import Chosen, names_read, preset, read_by, settings_of
from decant.commands.configure import configure
from decant.params.load import load_params

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    for name in ("params.yaml", "dvc.yaml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    shutil.copytree(REPOSITORY / "presets", tmp_path / "presets")
    return tmp_path


def written(root: Path, benchmark: Benchmark) -> dict[str, Any]:
    """The settings of the benchmark's stages in params.yaml."""
    return read_by(root, benchmark, yaml.safe_load((root / "params.yaml").read_text()))


@pytest.mark.parametrize("profile", ["quick", "full"])
@pytest.mark.parametrize(
    ("name", "files", "users"),
    [
        ("movielens-1m", ("ratings.dat", "users.dat", "movies.dat"), True),
        ("movielens-1m", ("ml-1m.txt",), False),
        ("online-retail", ("day.csv",), False),
    ],
)
def test_a_data_sets_settings_are_those_that_configure_writes(
    configured: Path, name: str, files: tuple[str, ...], users: bool, profile: str
) -> None:
    folder = configured / "data/raw" / name
    folder.mkdir(parents=True)
    for file in files:
        (folder / file).write_text("1 2\n")
    expected = settings_of(configured, BENCHMARKS[name], Chosen(profile, users=users))
    configure(configured, name, profile=profile)
    assert written(configured, BENCHMARKS[name]) == expected


def test_the_settings_of_a_protocol_are_those_that_configure_writes(
    configured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("decant.commands.configure.check_data", lambda *given: None)
    folder = configured / "data/raw/movielens-1m"
    folder.mkdir(parents=True)
    (folder / "ml-1m.txt").write_text("1 2\n")
    chosen = Chosen("ids", protocol="p1", users=False)
    expected = settings_of(configured, BENCHMARKS["movielens-1m"], chosen)
    configure(configured, "movielens-1m", profile="ids", protocol="p1")
    assert written(configured, BENCHMARKS["movielens-1m"]) == expected
    assert expected["ingest.protocol"] == "p1"


def test_a_comparisons_settings_are_those_that_it_writes(configured: Path) -> None:
    shop = Clone(configured)
    chosen = Chosen("quick", ("prior",))
    expected = {
        name: settings_of(configured, BENCHMARKS[name], replaced)
        for name, replaced in (("demo-groups", chosen), ("demo-losses", Chosen("quick")))
    }
    configure(configured, "demo", profile="quick")
    params = load_params(configured / "params.yaml")
    change_params(shop, compare_groups(params, ("prior",)).settings)
    assert written(configured, BENCHMARKS["demo-groups"]) == expected["demo-groups"]
    change_params(shop, {**compare_losses(params).settings})
    assert written(configured, BENCHMARKS["demo-losses"]) == expected["demo-losses"]


@pytest.mark.parametrize(
    ("name", "files", "users"),
    [
        ("demo-groups", (), True),
        ("movielens-1m-groups", ("ratings.dat", "users.dat", "movies.dat"), True),
        ("movielens-1m-groups", ("ml-1m.txt",), False),
    ],
)
def test_settings_with_other_groups_are_those_that_a_comparison_writes(
    configured: Path, name: str, files: tuple[str, ...], users: bool
) -> None:
    benchmark = BENCHMARKS[name]
    folder = configured / f"data/raw/{benchmark.source}"
    folder.mkdir(parents=True)
    for file in files:
        (folder / file).write_text("1 2\n")
    expected = settings_of(configured, benchmark, Chosen("full", users=users, groups="activity"))
    configure(configured, str(benchmark.source), profile="full", groups="activity")
    params = load_params(configured / "params.yaml")
    change_params(Clone(configured), compare_groups(params).settings)
    assert written(configured, benchmark) == expected
    assert "students.heavy_adapters" in expected


def test_the_tiny_shops_settings_are_those_that_it_writes(configured: Path) -> None:
    expected = settings_of(configured, BENCHMARKS["faults"], Chosen())
    change_params(Clone(configured), CHANGES)
    assert written(configured, BENCHMARKS["faults"]) == expected
    assert expected["raw.users"] == CHANGES["raw"]["users"]


def test_only_settings_that_its_stages_read_count(configured: Path) -> None:
    settings = settings_of(configured, BENCHMARKS["incremental"], Chosen())
    assert {"features.max_length", "split.test", "raw.users"} <= settings.keys()
    assert not [name for name in settings if name.startswith(("teacher", "distill", "registry"))]
    assert "seed" not in settings_of(configured, BENCHMARKS["demo"], Chosen())
    assert "students" in names_read(configured, ("distill",))


@pytest.mark.parametrize(
    ("source", "profile", "why"),
    [("nowhere", "full", "nowhere.yaml: preset not found"), ("demo", "tiny", "no profile `tiny`")],
)
def test_a_preset_that_is_not_there_is_named(
    configured: Path, source: str, profile: str, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        preset(configured, source, profile, users=True)


def test_groups_that_are_not_there_are_named(configured: Path) -> None:
    with pytest.raises(ValueError, match="no groups `tenure`; known: preset, activity"):
        preset(configured, "demo", "full", users=True, groups="tenure")


def test_options_are_the_same_after_they_were_recorded() -> None:
    chosen = Chosen("quick", ("prior", "cvar"), "p1", "activity", users=False)
    assert Chosen.from_json(chosen.as_json()) == chosen
    earlier = {name: value for name, value in chosen.as_json().items() if name != "groups"}
    assert Chosen.from_json(earlier) == Chosen("quick", ("prior", "cvar"), "p1", users=False)
