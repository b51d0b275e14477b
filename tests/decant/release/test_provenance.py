"""A release says with which code it was made, and nothing of the machine."""

import json
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest

from decant.release.provenance import git, provenance, version


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit of two files."""
    root = tmp_path / "checkout"
    root.mkdir()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    for name in ("code.py", "params.yaml", "dvc.lock"):
        (root / name).write_text("1\n")
    somebody = ["-c", "user.name=a", "-c", "user.email=b"]
    for command in (["init", "-q"], ["add", "."], [*somebody, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


def test_a_clean_checkout_names_its_commit(checkout: Path) -> None:
    result = provenance(checkout)
    assert len(result["commit"]) == 40
    assert result["dirty"] is False
    assert result["packages"]["numpy"] == np.__version__


def test_changed_and_new_files_are_named(checkout: Path) -> None:
    (checkout / "code.py").write_text("2\n")
    (checkout / "new file.py").write_text("")
    result = provenance(checkout)
    assert result["dirty"] is True
    assert result["changed"] == ["code.py", "new file.py"]


def test_a_renamed_file_is_named_once(checkout: Path) -> None:
    subprocess.run(["git", "mv", "code.py", "other.py"], cwd=checkout, check=True)
    assert provenance(checkout)["changed"] == ["other.py"]


def test_what_travels_in_the_release_is_no_difference(checkout: Path) -> None:
    (checkout / "dvc.lock").write_text("2\n")
    (checkout / "params.yaml").write_text("2\n")
    assert provenance(checkout)["dirty"] is False


def test_without_a_repository_the_commit_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    result = provenance(tmp_path)
    assert (result["commit"], result["dirty"], result["changed"]) == (None, None, [])


def test_without_git_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git(tmp_path, "rev-parse", "HEAD") is None
    assert provenance(tmp_path)["commit"] is None


def test_nothing_of_the_machine_is_told(checkout: Path) -> None:
    text = json.dumps(provenance(checkout))
    assert str(checkout) not in text
    assert socket.gethostname() not in text


def test_a_package_that_is_not_there_has_no_version() -> None:
    assert version("no-such-package") is None
