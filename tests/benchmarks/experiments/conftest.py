"""One small contest of rivals, for the benchmarks that compare them."""

from typing import Any

import pytest
import torch
import yaml

from benchmarks.experiments.comparison import Contest, losses_of, names_of
from benchmarks.experiments.released import write_released
from benchmarks.experiments.teachers import TEACHERS, Prepared, teach
from benchmarks.experiments.train_variant import run
from decant.params.load import parse_params
from decant.params.types import GENERAL, TEACHER

torch.set_num_threads(1)
TINY = {
    "dimension": 16, "layers": 1, "heads": 2, "dropout": 0.0, "epochs": 8, "batch_size": 16,
    "learning_rate": 0.02, "patience": 8, "precision": "float32", "device": "cpu",
}  # fmt: skip
PARAMS: dict[str, Any] = {
    "source": "demo",
    "seed": 3,
    "teacher": {**TINY, "inputs": ["item", "attributes"]},
    "knowledge": {"top_k": 8},
    "distill": {
        **TINY, "soft_weight": 0.5, "segment_epochs": 8, "segment_learning_rate": 0.02,
        "anchor": 0.0,
    },
    "students": {
        "general": {"init": "teacher"},
        "a": {"init": "general", "where": "group == 'a'"},
        "b": {"init": "general", "where": "group == 'b'"},
    },
    "gate": {"margin": 0.005},
}  # fmt: skip


@pytest.fixture(scope="session")
def contested(contradiction: Any, tmp_path_factory: pytest.TempPathFactory) -> Contest:
    """A workspace in which every rival has been trained, by the program's own function."""
    root = tmp_path_factory.mktemp("contest")
    (root / TEACHERS).mkdir(parents=True)
    (root / "data" / "fingerprints").mkdir(parents=True)
    for stage in ("teacher", "distill", "compress"):
        (root / "data" / "fingerprints" / f"{stage}.txt").write_text("code")
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    data = Prepared(root, parse_params(PARAMS), contradiction.encoder, contradiction.sequences, {})
    teach(data, "seed-3", 3, [], None)
    of = Contest(data, contradiction.members, 3)
    for together in (*names_of(of), *losses_of()):
        for name in together:
            run(of, name, None)
    for name in (TEACHER, GENERAL, "segment@a", "segment@b"):
        write_released(of, name)
    return of
