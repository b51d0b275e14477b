"""What is recorded beside a benchmark's figures."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.catalogue import BENCHMARKS
from benchmarks.harness.checkout import Clone
from benchmarks.provenance import record
from benchmarks.provenance.record import Provenance
from benchmarks.provenance.settings import Chosen
from benchmarks.provenance.trainings import together
from decant.commands.configure import configure


def training(seconds: float, **changes: Any) -> dict[str, Any]:
    arithmetic = {"device": "cpu", "precision": "float32", "threads": 1}
    return {"commit": "a", "arithmetic": arithmetic, "seconds": seconds, **changes}


def test_trainings_alike_are_one_entry_with_the_seconds_of_each() -> None:
    half = {"device": "cpu", "precision": "bfloat16", "threads": 1}
    entries = together(
        {"teacher": training(9.0), "general": training(2.0), "a": training(1.0, arithmetic=half)}
    )
    assert [entry["seconds"] for entry in entries] == [{"teacher": 9.0, "general": 2.0}, {"a": 1.0}]
    assert [entry["arithmetic"]["precision"] for entry in entries] == ["float32", "bfloat16"]


def test_in_a_clone_that_stays_settings_and_data_are_those_that_were_read(project: Path) -> None:
    (project / "data/raw/movielens-1m/more/users.dat").unlink()
    (project / "data/raw/movielens-1m/ratings.dat").rename(
        project / "data/raw/movielens-1m/ml-1m.txt"
    )
    measured = Provenance(Clone(project), BENCHMARKS["try"], Chosen("full"))
    configure(project, "movielens-1m", profile="full")
    outs = [{"path": "data/raw/movielens-1m", "md5": "1.dir"}]
    (project / "dvc.lock").write_text(yaml.safe_dump({"stages": {"raw": {"outs": outs}}}))
    made = measured.complete({})
    assert made["data"] == {"data/raw/movielens-1m": "1.dir"}
    assert made["chosen"]["users"] is False
    assert made["settings"]["features.attributes"] == []


def test_versions_are_those_that_are_installed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "version", lambda name: "3.0+cpu")
    made = Provenance(Clone(project), BENCHMARKS["try"], Chosen("full")).complete({})
    assert made["libraries"] == {"numpy": "3.0"}
    assert len(made["key"]) == 64
