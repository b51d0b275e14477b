from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.experiments.experts import (
    ALL,
    BY_NETWORK,
    UNCLOCKED,
    WIDE,
    WIDTHS,
    costs,
    other_students,
    per_user,
    table,
    variants,
    width_of_equal_bytes,
)
from decant.distillation.gate_evidence import enlarged, gate_cases
from decant.distillation.gates import CONSTANT, NETWORK, fitted
from decant.distillation.knowledge import extract, load_knowledge
from decant.models import bundle
from decant.models.build import save_model
from decant.models.experts import ExpertShape
from decant.models.recommender import Architecture, Recommender
from decant.params.load import Params
from decant.params.models import Distill
from decant.training.supervision import Material
from tests.fixtures.known_data import make_encoder, make_sequences

torch.set_num_threads(1)
ITEMS, LENGTH = 20, 12


def walking() -> Material:
    """Everybody walks forwards, three of four times."""
    rng = np.random.default_rng(0)
    users = []
    for _ in range(60):
        items = [int(rng.integers(1, ITEMS + 1))]
        for _ in range(LENGTH - 1):
            step = 1 if rng.random() < 0.75 else int(rng.integers(ITEMS))
            items.append((items[-1] - 1 + step) % ITEMS + 1)
        users.append(items)
    split = np.tile([6, 9], (len(users), 1))
    encoder = make_encoder(ITEMS, LENGTH, exclude_seen=False)
    return Material(encoder, make_sequences(users, split=split), {}, None, 3)


def test_every_expert_is_left_out_once_and_what_it_knows_is_missed() -> None:
    material = walking()
    torch.manual_seed(0)
    network = Recommender(Architecture(ITEMS, 8, (1,), 8, (8,), LENGTH, ("item",))).eval()
    shape = ExpertShape(("chain", "popularity"), 4, 0, clock=True)
    chosen = gate_cases(material.sequences, ITEMS, exclude_seen=False)
    quality = {
        name: float(per_user(model, material, chosen).mean())
        for name, model in variants(network, material, shape, 0)
    }
    left_out = ["without_chain", "without_popularity"]
    assert list(quality) == [NETWORK, CONSTANT, ALL, UNCLOCKED, *left_out]
    assert quality[ALL] > quality["without_chain"] + 0.2
    assert quality[ALL] > quality[NETWORK] + 0.2


def test_what_experts_cost_is_measured_beside_the_network_alone() -> None:
    material = walking()
    network = Recommender(Architecture(ITEMS, 8, (1,), 8, (8,), LENGTH, ("item",))).eval()
    shape = ExpertShape(("chain", "popularity"), 4, 0, clock=True)
    models = {NETWORK: network, ALL: enlarged(network, shape)}
    chosen = gate_cases(material.sequences, ITEMS, exclude_seen=False)
    measured = dict(costs(models, material, chosen, 0))
    assert measured["all.bytes.ratio"] == measured["all.bytes"] / measured["network.bytes"] > 1
    ratio = measured["all.latency_us"] / measured["network.latency_us"]
    assert measured["all.latency.ratio"] == ratio > 0
    assert "network.latency.ratio" not in measured
    assert dict(costs({}, material, chosen, 0)) == {}


def test_a_wide_student_has_as_many_bytes_as_one_with_experts() -> None:
    shape = ExpertShape(("chain", "popularity"), 8, 16, clock=True)
    settings = Distill(dimension=32)
    items = 500
    wide = width_of_equal_bytes(settings, shape, items)
    with_experts = 32 + 8 + 1 + 8 * 2 + 16 + 16 + 1  # lists, codes, factors, popularity
    assert abs(wide - with_experts) < WIDTHS
    assert wide % WIDTHS == 0


def test_students_are_trained_on_the_labels_of_the_network_and_of_everything(
    tmp_path: Path,
) -> None:
    material = walking()
    params = Params.model_validate(
        {"distill": {"dimension": 8, "epochs": 1, "soft_weight": 0.5, "experts": ["chain"]},
         "students": {"general": {"init": "teacher"}}}
    )  # fmt: skip
    shape = ExpertShape(("chain",), 4, 0, clock=True)
    torch.manual_seed(0)
    network = Recommender(Architecture(ITEMS, 8, (1,), 8, (8,), LENGTH, ("item",))).eval()
    teacher = fitted(network, material, shape, CONSTANT, 0)
    folder = tmp_path / "data" / "models" / "teacher"
    folder.mkdir(parents=True)
    save_model(teacher, folder, material.encoder.items, {})
    (folder / bundle.GRAPH).write_bytes(b"")
    bundle.seal(folder)
    (tmp_path / "knowledge").mkdir()
    extract([teacher], material.sequences, tmp_path / "knowledge", 5)
    material = replace(material, knowledge=load_knowledge(tmp_path / "knowledge"))
    rows = dict(other_students(tmp_path, params, material))
    assert [*rows] == [WIDE, f"{BY_NETWORK}.{NETWORK}", f"{BY_NETWORK}.{ALL}"]
    assert rows[WIDE].architecture.dimension > 8 and rows[WIDE].experts is None
    assert rows[f"{BY_NETWORK}.{NETWORK}"].experts is None
    assert rows[f"{BY_NETWORK}.{ALL}"].experts is not None


def test_the_table_shows_what_each_row_is_worth() -> None:
    figure = {"value": 0.25, "low": 0.2, "high": 0.3, "n": 5}
    shown = table({"teacher.all.ndcg@10": figure, "teacher.network.ndcg@10": figure,
                   "teacher.network.difference": {**figure, "value": -0.125}})  # fmt: skip
    first, second = shown.splitlines()
    assert first.split() == ["teacher.all", "0.2500"]
    assert second.split() == ["teacher.network", "0.2500", "-0.1250"]
