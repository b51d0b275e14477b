import numpy as np
import torch

from benchmarks.experiments.experts import ALL, UNCLOCKED, per_user, table, variants
from decant.distillation.gate_evidence import gate_cases
from decant.distillation.gates import CONSTANT, NETWORK
from decant.models.experts import ExpertShape
from decant.models.recommender import Architecture, Recommender
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


def test_the_table_shows_what_each_row_is_worth() -> None:
    figure = {"value": 0.25, "low": 0.2, "high": 0.3, "n": 5}
    shown = table({"teacher.all.ndcg@10": figure, "teacher.network.ndcg@10": figure,
                   "teacher.network.difference": {**figure, "value": -0.125}})  # fmt: skip
    first, second = shown.splitlines()
    assert first.split() == ["teacher.all", "0.2500"]
    assert second.split() == ["teacher.network", "0.2500", "-0.1250"]
