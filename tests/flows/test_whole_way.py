"""The whole way on a small shop: killed in the middle, run again, released, served as evaluated."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import psutil
import pytest
import yaml

from decant.features.sequences import TEST, Sequences, cases
from decant.params.load import load_params
from decant.release.registry import open_registry
from decant.serving.reload import open_source
from decant.serving.requests import respond

REPOSITORY = Path(__file__).resolve().parents[2]
CODE = (
    "decant",
    "tasks",
    "flows",
    "presets",
    "dvc.yaml",
    "params.yaml",
    ".dvcignore",
    ".gitignore",
)
TINY = {"dimension": 16, "layers": 1, "heads": 2, "epochs": 1, "threads": 1}
CHANGES: dict[str, dict[str, Any]] = {
    "raw": {"users": 1600, "items": 48, "steps": 10},
    "teacher": TINY,
    "distill": {**TINY, "segment_epochs": 1},
    "compress": {"recover_epochs": 0, "max_loss": 1.0},
    "evaluate": {"latency_requests": 20, "resamples": 200},
    "gate": {
        "margin": 1.0, "min_retention": 0.0, "min_lift": -1.0,
        "min_size_ratio": 0.0, "min_latency_ratio": 0.0,
    },
}  # fmt: skip
STUDENTS = {
    "general": {"init": "teacher"},
    "women": {"init": "general", "where": "gender == 'F'", "priority": 1},
}
STOP_AT = "Running stage 'teacher'"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with a small shop, its run killed in the middle and then finished."""
    root = tmp_path_factory.mktemp("shop")
    for name in CODE:
        source = REPOSITORY / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, root / name)
    (root / ".dvc").mkdir()
    shutil.copy(REPOSITORY / ".dvc/config", root / ".dvc/config")
    settings = yaml.safe_load((root / "params.yaml").read_text())
    for block, changed in CHANGES.items():
        settings[block] |= changed
    settings["students"] = STUDENTS
    (root / "params.yaml").write_text(yaml.safe_dump(settings))
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    kill_in_the_middle(root)
    return root


@pytest.fixture
def release(shop: Path) -> str:
    """The shop's release; the tests may be divided between processes, so each can be the first."""
    registry = open_registry(load_params(shop / "params.yaml").registry, shop)
    if registry.channel("production") is None:
        said, _ = (flow := start(shop)).communicate()
        assert flow.returncode == 0, said[-3000:]
    channel = registry.channel("production")
    assert channel is not None
    return channel.release


def start(root: Path) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": "",
        "PREFECT_HOME": str(root / ".decant/prefect"),
    }
    environment.pop("PREFECT_API_URL", None)
    return subprocess.Popen(
        [sys.executable, "-m", "flows.retrain"],
        cwd=root, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def kill_in_the_middle(root: Path) -> None:
    """SIGKILL to the flow while the teacher is trained."""
    flow = start(root)
    assert flow.stdout is not None
    said = []
    for line in flow.stdout:
        said.append(line)
        if STOP_AT in line:
            break
    else:
        pytest.fail("the run ended before the teacher: " + "".join(said[-20:]))
    time.sleep(1)
    flow.send_signal(signal.SIGKILL)
    flow.wait()


def processes_in(folder: Path) -> list[str]:
    result = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                result.append(" ".join(process.cmdline()))
        except (psutil.Error, OSError):
            continue  # gone, or not ours to look at
    return result


def test_a_killed_run_leaves_no_process_and_the_same_command_finishes(shop: Path) -> None:
    deadline = time.monotonic() + 30
    while (left := processes_in(shop)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left
    assert not (shop / "data/models/teacher").exists()
    flow = start(shop)
    said, _ = flow.communicate()
    assert flow.returncode == 0, said[-3000:]
    assert said.count(" ingest: ") == said.count(" ingest: up to date\n") == 1
    assert not list((shop / "data").rglob("*.tmp"))
    release = json.loads((shop / "data/candidate/candidate.json").read_text())["id"]
    assert f"release  {release} (on production)" in said
    registry = open_registry(load_params(shop / "params.yaml").registry, shop)
    channel = registry.channel("production")
    assert channel is not None and channel.release == release


def test_requests_of_raw_events_give_the_top_ten_that_evaluate_saw(
    shop: Path, release: str
) -> None:
    family = open_source(shop, "production").load(release)
    sequences = Sequences.load(shop / "data/features/sequences")
    chosen = cases(sequences, TEST, load_params(shop / "params.yaml").split.cases_per_user)
    first = np.unique(chosen.user, return_index=True)[1][:1000]
    users = pd.read_parquet(shop / "data/features/users.parquet")
    events = pd.read_parquet(shop / "data/validated/events.parquet")
    by_user = dict(tuple(events.sort_values(["time", "order"]).groupby("user")))
    attributes = users[list(family.encoder.attributes)].astype(object)
    attributes = attributes.where(attributes.notna(), None)
    with np.load(shop / "data/evaluation/top.npz") as saved:
        top = {student: saved[f"{student}/int8"] for student in family.students}
    names = np.array(["", *family.encoder.items], dtype=object)
    used = set()
    for row in first:
        user = int(chosen.user[row])
        mine = by_user[users["user"][user]]
        before = mine[mine["time"] < sequences.times[chosen.position[row]]]
        body = {
            "now": float(sequences.times[chosen.position[row]]),
            "user": attributes.iloc[user].to_dict(),
            "history": before[["item", "behaviour", "time"]].to_dict("records"),
            "k": 10,
        }
        answer = orjson.loads(respond(family, orjson.dumps(body)))
        expected = [name for name in names[top[answer["student"]][row]] if name]
        assert [item["item"] for item in answer["items"]] == expected
        used.add(answer["student"])
    assert len(first) > 300
    assert used == set(family.students)
