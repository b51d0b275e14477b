"""A release of an earlier version is served, traced, compared and promoted as before.

`registry-84e6d9b.zip` is the registry of a small demo shop, made by the code of that commit.
"""

import zipfile
from pathlib import Path

import pytest

from decant.cli import main
from decant.diff.sides import find, read_side
from decant.params.load import load_params
from decant.release.registry import Registry, open_registry
from decant.runtime.engine import Event
from decant.serving.reload import open_source

STORED = Path(__file__).resolve().parents[2] / "fixtures" / "registry-84e6d9b.zip"
RELEASE = "15ba32cdf2300b3e"
BEST = ["i000044", "i000028", "i000004"]  # what that version recommended


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with that registry and today's settings."""
    with zipfile.ZipFile(STORED) as file:
        file.extractall(tmp_path)
    (tmp_path / "params.yaml").write_text("registry: {folder: registry}\n", "utf-8")
    return tmp_path


@pytest.fixture
def registry(root: Path) -> Registry:
    return open_registry(load_params(root / "params.yaml").registry, root)


def test_it_is_served_with_the_same_answers(root: Path) -> None:
    source = open_source(root, "production")
    try:
        family = source.load(source.pointer().release)
    finally:
        source.preload.end()
    answer = family.recommend({"gender": "F"}, [Event("i000012")], 3)
    assert (answer.release, answer.items) == (RELEASE, BEST)


def test_it_is_listed_traced_and_in_the_status(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("releases", "status", f"trace {RELEASE}"):
        assert main([*command.split(), f"--root={root}"]) == 0
        assert RELEASE in capsys.readouterr().out


def test_it_can_be_promoted_again(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["promote", RELEASE, "--channel=canary", f"--root={root}"]) == 0
    assert f"canary: nothing -> {RELEASE}" in capsys.readouterr().out


def test_its_settings_are_compared_under_their_current_names(root: Path) -> None:
    side = read_side(root, find(root, RELEASE))
    assert side.settings["distill.l2_sp"] == 0.001
    assert "distill.anchor" not in side.settings
    assert side.metrics and side.verdict["passed"] is True
