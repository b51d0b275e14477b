"""`decant diff` as a command: text, Markdown, JSON, and one line for a mistake."""

import json
import subprocess
from pathlib import Path

import pytest

from decant.cli import main

LOCK = "stages:\n  gate:\n    cmd: python -m tasks.gate\n    params: {params.yaml: {seed: SEED}}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project of two commits, of which nothing is left but settings and dvc.lock."""
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    for seed in ("3", "4"):
        (tmp_path / "params.yaml").write_text(f"seed: {seed}\n")
        (tmp_path / "dvc.lock").write_text(LOCK.replace("SEED", seed))
        subprocess.run(["git", "add", "params.yaml", "dvc.lock"], cwd=tmp_path, check=True)
        name = ["-c", "user.name=ann", "-c", "user.email=ann@example.com"]
        subprocess.run(["git", *name, "commit", "-qm", f"seed {seed}"], cwd=tmp_path, check=True)
    return tmp_path


def test_two_commits_are_compared_as_text(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "HEAD~1", "HEAD", "--root", str(root)]) == 0
    text = capsys.readouterr().out
    assert "\n  seed " in text and "3  4\n" in text
    assert "A: data/evaluation/metrics.json is not an output of any stage" in text


def test_the_second_side_is_the_workspace(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "HEAD~1", "--md", "--root", str(root)]) == 0
    text = capsys.readouterr().out
    assert "B  workspace: params.yaml and dvc.lock" in text
    assert "| seed | 3 | 4 |" in text


def test_json_is_one_document(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "HEAD~1", "HEAD", "--json", "--root", str(root)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["settings"] == [{"key": "seed", "a": 3, "b": 4}]
    assert document["stages"][0]["causes"] == ["seed"]
    assert document["quality"]["rows"] == []


@pytest.mark.parametrize("names", [("HEAD", "nope"), ("HEAD", "HEAD"), ("nope", "HEAD")])
def test_a_mistake_is_one_line(
    root: Path, capsys: pytest.CaptureFixture[str], names: tuple[str, str]
) -> None:
    assert main(["diff", *names, "--root", str(root)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("decant: error: ") and said.err.count("\n") == 1
