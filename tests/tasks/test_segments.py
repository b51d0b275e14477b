"""Who belongs to whom: membership is decided by what was known before the validation window."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from decant.features.encode import Encoder
from decant.features.sequences import Sequences
from decant.params.load import parse_params
from tasks.runner.step import Workspace, run_step
from tasks.segments import run

LENGTHS = (3, 4, 5, 6, 9)  # of which the last two events are held out
SETTINGS: dict[str, Any] = {
    "distill": {"min_users": 1},
    "students": {
        "general": {"init": "teacher"},
        "regular": {"init": "general", "where": "history_length >= 4"},
    },
}


@pytest.fixture
def root(
    tmp_path: Path, make_sequences: Callable[..., Sequences], make_encoder: Callable[..., Encoder]
) -> Path:
    """Features of users with histories of different lengths; item 9 is only in the test window."""
    features = tmp_path / "data" / "features"
    features.mkdir(parents=True)
    users = [[1 + place for place in range(length - 1)] + [9] for length in LENGTHS]
    make_sequences(users).save(features / "sequences")
    make_encoder(9, 8).save(features / "encoder.json")
    names = pd.DataFrame({"user": [f"u{number}" for number in range(len(LENGTHS))]})
    names.to_parquet(features / "users.parquet")
    tags = [["tag"]] * len(LENGTHS)
    names.assign(events=1.0, tags=tags).to_parquet(features / "user_features.parquet")
    items = [str(number) for number in range(1, 10)]
    pd.DataFrame({"item": items, "text": items}).to_parquet(features / "items.parquet")
    return tmp_path


def membership(root: Path, name: str) -> list[int]:
    members: list[int] = np.load(root / "data" / "segments" / f"{name}.npy").tolist()
    return members


def test_a_rule_on_the_history_length_counts_training_events_alone(root: Path) -> None:
    run_step(run, Workspace(root, parse_params(SETTINGS)))
    trained = [length - 2 for length in LENGTHS]
    assert membership(root, "regular") == [user for user, n in enumerate(trained) if n >= 4]
    assert membership(root, "_served_by_general") == [u for u, n in enumerate(trained) if n < 4]


def test_general_learns_from_everybody_whoever_it_serves(root: Path) -> None:
    run_step(run, Workspace(root, parse_params(SETTINGS)))
    assert membership(root, "general") == [*range(len(LENGTHS))]


def test_what_is_popular_is_so_before_the_validation_window(root: Path) -> None:
    run_step(run, Workspace(root, parse_params(SETTINGS)))
    router = json.loads((root / "data" / "segments" / "router.json").read_text())
    assert "9" not in {item for item, _ in router["popular"]["general"]}
    assert router["popular"]["regular"][0] == ["1", 2]
