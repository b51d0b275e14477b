"""A project in Git with runs made up: their files lie in DVC's cache, as dvc.lock says."""

import hashlib
import io
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from decant.diff.sides import Side, find, read_side

USERS = 60
WOMEN, REST = np.arange(30, dtype=np.int32), np.arange(30, 60, dtype=np.int32)
SETTINGS = {
    "seed": 3,
    "distill": {"epochs": 6, "segment_epochs": 6},
    "students": {"general": {"init": "teacher"}, "women": {"init": "general", "where": "true"}},
    "evaluate": {"k": 10, "resamples": 200},
}
STAGES: dict[str, tuple[list[str], list[str]]] = {  # stage → what it reads, the settings it reads
    "raw": ([], ["seed"]),
    "features": (["data/raw"], ["seed"]),
    "segments": (["data/features"], ["students"]),
    "teacher": (["data/features"], ["seed"]),
    "distill@general": (["data/features", "data/models/teacher"], ["distill"]),
    "distill@women": (["data/models/general", "data/segments/women.npy"], ["distill"]),
    "evaluate": (["data/models", "data/features"], ["evaluate"]),
    "gate": (["data/evaluation", "data/segments"], ["evaluate"]),
    "candidate": (["data/evaluation", "data/gate"], ["seed"]),
}
OUTS = {
    "raw": "data/raw",
    "features": "data/features",
    "segments": "data/segments",
    "teacher": "data/models/teacher",
    "distill@general": "data/models/general",
    "distill@women": "data/models/women",
    "evaluate": "data/evaluation",
    "gate": "data/gate",
    "candidate": "data/candidate",
}


@dataclass
class Run:
    """What a made-up run leaves: ranks by model, what serves women, settings, the data's shape."""

    settings: dict[str, Any] = field(default_factory=lambda: json.loads(json.dumps(SETTINGS)))
    ranks: dict[str, np.ndarray] = field(
        default_factory=lambda: {
            "teacher": np.full(USERS, 2),
            "general/int8": np.full(USERS, 4),
            "women/int8": np.full(USERS, 3),
        }
    )
    ships: bool = True
    code: str = "1"
    women: np.ndarray = field(default_factory=lambda: WOMEN)
    people: list[str] = field(default_factory=lambda: [f"p{n:03}" for n in range(USERS)])
    release: str = "aaaaaaaaaaaaaaaa"

    def cases(self) -> pd.DataFrame:
        """One case for each user and window: test at even places, validation at odd ones."""
        n = len(self.people)
        return pd.concat(
            pd.DataFrame(
                {
                    "model": model,
                    "window": window,
                    "user": np.arange(n, dtype=np.int32),
                    "position": 2 * np.arange(n) + (window == "validation"),
                    "rank": ranks.astype(np.int32),
                }
            )
            for model, ranks in self.ranks.items()
            for window in ("validation", "test")
        )

    def files(self) -> dict[str, bytes]:
        """Every file of the run, by place."""
        n, k = len(self.people), self.settings["evaluate"]["k"]
        rest = np.setdiff1d(np.arange(n, dtype=np.int32), self.women)
        costs = {"bytes": 1000, "latency_us": {"p50": 50.0}, "multiply_adds": 70}
        models: dict[str, Any] = {name: dict(costs) for name in self.ranks}
        models["teacher"] |= {"bytes": 9000, "test": {"all": {"ndcg": 0.6}}}
        verdict = {
            "passed": True,
            "checks": [{"name": "retention", "value": 1.0, "threshold": 0.9, "passed": True}],
            "segments": {"women": {"ships": self.ships, "reason": "better on validation"}},
            "family": {"test": {"all": {"ndcg": 0.5}, "women": {"ndcg": 0.55}}},
        }
        return {
            "data/raw/events.csv": b"user,item\n",
            "data/features/users.parquet": parquet(pd.DataFrame({"user": self.people})),
            "data/features/encoder.json": text({"items": ["i1", "i2"]}),
            "data/features/sequences/offsets.npy": array(2 * np.arange(n + 1)),
            "data/features/sequences/items.npy": array(np.tile([1, 2], n)),
            "data/features/sequences/times.npy": array(np.tile([10.0, 20.0], n)),
            "data/segments/women.npy": array(self.women),
            "data/segments/_served_by_general.npy": array(rest),
            "data/models/teacher/summary.json": text({"events": 900}),
            "data/models/general/summary.json": text({"events": 500}),
            "data/models/women/summary.json": text(
                {"events": 40 * self.settings["distill"]["segment_epochs"]}
            ),
            "data/evaluation/cases.parquet": parquet(self.cases()),
            "data/evaluation/metrics.json": text({"k": k, "catalogue": 2, "models": models}),
            "data/gate/verdict.json": text(verdict),
            "data/candidate/candidate.json": text({"id": self.release}),
        }


def parquet(table: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    table.to_parquet(sink, index=False)
    return sink.getvalue()


def array(values: np.ndarray) -> bytes:
    sink = io.BytesIO()
    np.save(sink, values, allow_pickle=False)
    return sink.getvalue()


def text(content: Any) -> bytes:
    return json.dumps(content).encode()


@dataclass(frozen=True)
class Project:
    """A folder with Git, a cache, and a way to make runs."""

    root: Path

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "user.name=ann", "-c", "user.email=ann@example.com", *arguments]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def cached(self, content: bytes, suffix: str = "") -> str:
        """Put a content into the cache; its md5."""
        md5 = hashlib.md5(content).hexdigest() + suffix
        path = self.cache_path(md5)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return md5

    def cache_path(self, md5: str) -> Path:
        return self.root / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]

    def forget(self, run: Run, place: str) -> None:
        """Remove a run's file from the cache."""
        self.cache_path(hashlib.md5(run.files()[place]).hexdigest()).unlink()

    def make(self, run: Run) -> None:
        """Leave a run in the folder: params.yaml, dvc.lock and the files in the cache."""
        (self.root / "params.yaml").write_text(yaml.safe_dump(run.settings))
        (self.root / "dvc.lock").write_text(yaml.safe_dump({"stages": self.stages(run)}))

    def commit(self, run: Run, message: str = "a run") -> str:
        """Make a run and commit it; the commit."""
        self.make(run)
        self.git("add", "params.yaml", "dvc.lock")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def stages(self, run: Run) -> dict[str, Any]:
        """The stages of dvc.lock; every output goes into the cache."""
        hashes: dict[str, str] = {}
        made = run.files()
        for folder in OUTS.values():
            files = {
                place.removeprefix(f"{folder}/"): content
                for place, content in made.items()
                if place.startswith(f"{folder}/")
            }
            entries = [{"md5": self.cached(c), "relpath": name} for name, c in files.items()]
            hashes |= {f"{folder}/{entry['relpath']}": entry["md5"] for entry in entries}
            hashes[folder] = self.cached(json.dumps(entries).encode(), ".dir")
        models = {path: md5 for path, md5 in hashes.items() if path.startswith("data/models/")}
        hashes["data/models"] = self.cached(json.dumps(models).encode(), ".dir")
        return {
            name: {
                "cmd": f"python -m tasks.{name.partition('@')[0]}",
                "deps": [
                    {"path": f"data/fingerprints/{name}.txt", "md5": digest(run.code + name)},
                    *({"path": path, "md5": hashes[path]} for path in reads),
                ],
                "params": {"params.yaml": {key: run.settings[key] for key in blocks}},
                "outs": [{"path": OUTS[name], "md5": hashes[OUTS[name]]}],
            }
            for name, (reads, blocks) in STAGES.items()
        }

    def side(self, name: str) -> Side:
        return read_side(self.root, find(self.root, name))


def digest(content: str) -> str:
    return hashlib.md5(content.encode()).hexdigest()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project without a run."""
    project = Project(tmp_path / "project")
    (project.root / ".dvc").mkdir(parents=True)
    project.git("init", "--quiet", "--initial-branch", "main")
    return project


@pytest.fixture
def new_run() -> Callable[..., Run]:
    """A made-up run, with some of it changed."""
    return Run


@pytest.fixture
def better(new_run: Callable[..., Run]) -> Run:
    """A run whose women's student ranks one place better for most, taught for two epochs."""
    run = new_run(release="bbbbbbbbbbbbbbbb")
    run.settings["distill"]["segment_epochs"] = 2
    run.ranks["women/int8"] = np.where(np.arange(USERS) % 5 > 0, 2, 3)
    return run
