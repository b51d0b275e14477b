"""A small project with one benchmark, `try`, of a data set."""

import shutil
from pathlib import Path

import pytest

from benchmarks.catalogue import BENCHMARKS, Benchmark

REPOSITORY = Path(__file__).resolve().parents[3]
TRIED = Benchmark(
    "benchmarks.speed",
    "a benchmark for tests",
    options=("from", "profile", "without", "minutes"),
    source="movielens-1m",
    stages=("features", "evaluate"),
)
FILES = {
    "benchmarks/speed.py": "import numpy\nfrom decant import deep\n",
    "tasks/features.py": "from decant.deep import value\n",
    "tasks/evaluate.py": "def run():\n    from decant.late import later\n",
    "decant/deep.py": '"""Deep."""\nvalue = 1\n',
    "decant/late.py": "later = 1\n",
    "decant/unused.py": "nobody = 1\n",
    "constraints.txt": "numpy==2.4.6\ntqdm==4.70.1\n",
    "data/raw/movielens-1m/ratings.dat": "1::2::3::4\n",
    "data/raw/movielens-1m/more/users.dat": "1\n",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    shutil.copytree(REPOSITORY / "presets", tmp_path / "presets")
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setitem(BENCHMARKS, "try", TRIED)
    return tmp_path
