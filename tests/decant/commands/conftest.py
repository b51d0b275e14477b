"""No test of this folder reaches anybody's account; a project to configure."""

import shutil
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _nobody(aws: None) -> None:
    """No test reaches anybody's account."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the committed settings and presets, as the working directory."""
    root = tmp_path / "project"
    root.mkdir()
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(REPOSITORY / name, root)
    shutil.copytree(REPOSITORY / "presets", root / "presets")
    monkeypatch.chdir(root)
    return root
