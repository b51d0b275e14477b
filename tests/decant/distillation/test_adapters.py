from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn

from decant.distillation.adapters import adapt, merge
from decant.distillation.student import train_student
from decant.models.recommender import Architecture, Recommender

torch.set_num_threads(1)


def model() -> Recommender:
    torch.manual_seed(1)
    shape = Architecture(
        items=9, dimension=8, heads=(2,), head_width=4, hidden=(12,), max_length=6, inputs=("item",)
    )
    return Recommender(shape).eval()


def scores(owner: Recommender) -> torch.Tensor:
    with torch.inference_mode():
        return owner({"items": torch.tensor([[1, 5, 3], [2, 2, 9]])})


def test_new_adapters_change_nothing_and_only_they_are_trained() -> None:
    plain, adapted = model(), model()
    trained = adapt(adapted, 2, seed=0)
    torch.testing.assert_close(scores(adapted), scores(plain))
    layers = [m for m in plain.modules() if isinstance(m, nn.Linear)]
    assert trained == sum(2 * (m.in_features + m.out_features) for m in layers)
    learning = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert all("parametrizations" in name for name in learning)


def test_merged_adapters_leave_a_model_of_the_same_shape_that_computes_the_same() -> None:
    adapted = model()
    adapt(adapted, 2, seed=0)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3)
    before = scores(adapted)
    assert not torch.allclose(before, scores(model()))
    merge(adapted)
    torch.testing.assert_close(scores(adapted), before)
    assert set(adapted.state_dict()) == set(model().state_dict())
    assert all(p.requires_grad for p in adapted.parameters())


def test_what_is_learned_has_the_rank_that_was_asked_for() -> None:
    adapted = model()
    adapt(adapted, 1, seed=0)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter)
    merge(adapted)
    learned, plain = adapted.state_dict(), model().state_dict()
    for name, layer in model().named_modules():
        if isinstance(layer, nn.Linear):
            change = learned[f"{name}.weight"] - plain[f"{name}.weight"]
            assert torch.linalg.matrix_rank(change, atol=1e-4) == 1, name


@pytest.mark.parametrize("rank", [0, 4])
def test_a_segments_student_learns_with_adapters_too(family: Any, rank: int) -> None:
    start = deepcopy(family.models["general"])
    before = deepcopy(start.state_dict())
    update = {"adapter_rank": rank, "segment_epochs": 12, "segment_learning_rate": 0.03}
    settings = family.settings.model_copy(update=update)
    members = family.known.members["a"]
    model, report = train_student(
        family.material, settings, 1, start=start, members=members, log=None
    )
    assert report.start_ndcg is not None
    assert report.best > report.start_ndcg
    assert set(model.state_dict()) == set(before)
    assert torch.equal(model.item.weight, before["item.weight"]) is bool(rank)
