"""A search in a project's folder: its place, its real workers, what it writes."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from decant.features.encode import Encoder
from decant.features.sequences import Sequences
from decant.params.load import Params, ParamsError, load_params
from tasks.runner.input_guard import InputChangedError
from tasks.tune import folder_of, plan_of, tune

REPOSITORY = Path(__file__).resolve().parents[2]
ITEMS, STEPS, USERS = 12, 8, 96
SETTINGS = """\
seed: 3
split:
  method: leave-one-out
teacher:
  dimension: 16
  heads: 2
  layers: 1
  epochs: 6
  batch_size: 16
  learning_rate: 0.000001   # far too low
  precision: float32
  device: cpu
tune:
  method: grid
  trials: 4
  folds: 2
  epochs: 2
  space:
    learning_rate: {choices: [0.000001, 0.02]}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project whose features are made: everybody walks around a circle of items."""
    for package in ("decant", "tasks"):
        shutil.copytree(
            REPOSITORY / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    (tmp_path / "params.yaml").write_text(SETTINGS)
    features = tmp_path / "data/features"
    circle(USERS).save(features / "sequences")
    Encoder(
        items=tuple(str(n) for n in range(1, ITEMS + 1)), max_length=STEPS, behaviours=("view",),
        attributes={}, merge_window=0.0, exclude_seen=True,
    ).save(features / "encoder.json")  # fmt: skip
    (tmp_path / "data/vectors").mkdir()
    np.save(tmp_path / "data/vectors/items.npy", np.zeros((ITEMS + 1, 0), np.float32))
    return tmp_path


def circle(users: int) -> Sequences:
    events = users * STEPS
    walk = (np.arange(users)[:, None] + np.arange(STEPS)) % ITEMS + 1
    none = np.zeros(events, np.int8)
    return Sequences(
        offsets=np.arange(0, events + 1, STEPS), items=walk.ravel().astype(np.int32),
        behaviours=none + 1, ratings=none, gaps=none, times=np.arange(events, dtype=np.float64),
        target=np.ones(events, bool), attributes=np.zeros((users, 0), np.int16),
        split=np.tile([STEPS - 2, STEPS - 1], (users, 1)), baskets=np.arange(events),
    )  # fmt: skip


def params(root: Path, **tune: Any) -> Params:
    loaded = load_params(root / "params.yaml")
    return loaded.model_copy(update={"tune": loaded.tune.model_copy(update=tune)})


def test_the_winning_setting_is_shown_and_written_only_if_asked(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    shown = tune(root, params(root), lines.append, apply=False)
    assert (root / "params.yaml").read_text() == SETTINGS
    changed = [line for line in shown.diff.splitlines() if line[0] in "+-"][2:]
    assert changed == [
        "-  learning_rate: 0.000001   # far too low",
        "+  learning_rate: 0.02       # far too low",
    ]
    assert (root / shown.folder / "params.diff").read_text() == shown.diff
    assert "params.yaml: unchanged; `--apply` writes the change" in str(shown)
    assert "3 trials: 1 repeat an earlier one" in shown.table  # a grid of two, and now
    # again, with what is there: no worker starts
    monkeypatch.setattr("decant.tuning.search._start", lambda *_: pytest.fail("trained"))
    written = tune(root, params(root), lines.append, apply=True)
    assert written == replace(shown, applied=True)
    assert (root / "params.yaml").read_text() == SETTINGS.replace("0.000001 ", "0.02     ", 1)
    assert "params.yaml: changed as shown" in str(written)
    assert not list(root.rglob(".*.tmp"))


def test_a_search_has_a_folder_of_its_own_for_each_input_of_its_result(root: Path) -> None:
    first = folder_of(root, params(root))
    assert folder_of(root, params(root, trials=99, workers=3)) == first
    assert first.is_relative_to(root / ".decant/tuning")
    places = {first}
    for changes in ({"folds": 3}, {"epochs": None}, {"method": "tpe"}, {"space": {}}):
        places.add(folder_of(root, params(root, **changes)))
    settings = params(root)
    places.add(folder_of(root, settings.model_copy(update={"seed": 4})))
    other = settings.teacher.model_copy(update={"dropout": 0.3})
    places.add(folder_of(root, settings.model_copy(update={"teacher": other})))
    shorter = settings.split.model_copy(update={"cases_per_user": 1})
    places.add(folder_of(root, settings.model_copy(update={"split": shorter})))
    circle(USERS - 1).save(root / "data/features/sequences")
    places.add(folder_of(root, settings))
    assert len(places) == 9


def test_code_that_trains_makes_another_search_and_a_comment_does_not(root: Path) -> None:
    first = folder_of(root, params(root))
    losses = root / "decant/training/losses.py"
    losses.write_text(losses.read_text() + "\n# a comment\n")
    assert folder_of(root, params(root)) == first
    losses.write_text(losses.read_text() + "\nNEW = 1\n")
    assert folder_of(root, params(root)) != first


def test_nothing_to_search_is_one_line(root: Path) -> None:
    with pytest.raises(ParamsError, match="`tune.space` is empty: name settings and their ranges"):
        plan_of(params(root, space={}))


def test_a_teacher_that_starts_from_another_is_not_searched(root: Path) -> None:
    settings = params(root)
    teacher = settings.teacher.model_copy(update={"warm_start": "elsewhere"})
    with pytest.raises(ParamsError, match=r"`teacher\.warm_start`: trials train from scratch"):
        plan_of(settings.model_copy(update={"teacher": teacher}))


def test_settings_that_change_meanwhile_are_not_written_over(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = params(root)
    edited = yaml.safe_load(SETTINGS)
    edited["teacher"]["dropout"] = 0.4
    (root / "params.yaml").write_text(yaml.safe_dump(edited))
    monkeypatch.setattr("tasks.tune.run_search", lambda *_: [])
    monkeypatch.setattr("tasks.tune.compare", lambda *_: None)
    with pytest.raises(InputChangedError, match="`teacher` in params.yaml changed"):
        tune(root, settings, print, apply=True)
