"""Known answers of the fit: how far weights move, what they are moved for, and their scale."""

import numpy as np
import pytest
import torch

from decant.distillation.gate_evidence import Evidence, combined, ndcg_of
from decant.distillation.gate_fit import (
    HEAVY,
    fit_gates,
    ndcg_loss,
    weights,
)
from decant.distillation.gates import constants
from decant.evaluation.metrics import ndcg
from decant.models.experts import Experts, ExpertShape

torch.set_num_threads(1)
CASES, COMPETING = 300, 20


def some_experts(*names: str, gated: bool = False) -> Experts:
    return Experts(ExpertShape(names, 1, 0, clock=False, gated=gated), COMPETING)


def evidence(
    experts: Experts, deep: torch.Tensor, known: torch.Tensor, target: torch.Tensor
) -> Evidence:
    """Cases of a user each; `known` [C, A, Q]."""
    size = len(target)
    none = torch.zeros(size, len(experts.shape.signals))
    return Evidence(deep, known, None, none, target, np.arange(size), np.zeros(size))


def answers(cases: int = CASES) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, COMPETING, (cases,), generator=generator)


def test_few_cases_move_constant_weights_as_far_as_they_have_to() -> None:
    """A network that knows nothing, and an expert that knows the answer."""
    experts, target = some_experts("frequency"), answers()
    known = torch.nn.functional.one_hot(target, COMPETING)[:, None].float() * 0.01
    deep = torch.randn(CASES, COMPETING, generator=torch.Generator().manual_seed(1))
    fit_gates(experts, evidence(experts, deep, known, target), 0, gated=False)
    fitted = constants(experts)
    assert abs(fitted["network"]) < 0.5
    assert fitted["frequency"] > 0.8


def test_weights_are_fitted_to_what_ranks_best_and_not_to_what_is_likeliest() -> None:
    """In four of five cases the network puts the target first by a little, in the fifth last by
    far. Trusting it ranks best, and costs more likelihood than it gains."""
    size = 5000
    experts, target = some_experts("frequency"), answers(size)
    badly = torch.arange(size) % 5 == 0
    deep = torch.zeros(size, COMPETING)
    deep[torch.arange(size), target] = torch.where(badly, -2.08, 0.5)
    given = evidence(experts, deep, torch.zeros(size, 1, COMPETING), target)
    fit_gates(experts, given, 0, gated=False)
    assert ndcg_of(combined(experts, given), target).mean() == pytest.approx(0.8)


@pytest.mark.parametrize("rank", [1, 2, 7])
def test_the_smooth_ndcg_of_scores_that_are_far_apart_is_the_ndcg(rank: int) -> None:
    scores = -10.0 * torch.arange(COMPETING)[None]
    loss = ndcg_loss(scores, torch.tensor([rank - 1]))
    assert loss.item() == pytest.approx(-HEAVY * ndcg(np.array([rank]), 10)[0], rel=1e-4)


def test_a_score_that_comes_nearer_to_the_first_is_worth_something_before_it_is_above() -> None:
    scores = torch.tensor([[1.0, 0.8, 0.0], [1.0, 0.9, 0.0]])
    far, near = ndcg_loss(scores, torch.tensor([1, 1]))
    assert near < far


def test_users_weigh_alike_or_by_the_root_of_their_cases() -> None:
    experts = some_experts("frequency")
    given = evidence(experts, torch.zeros(5, 3), torch.zeros(5, 1, 3), torch.zeros(5).long())
    given.user[:] = [0, 0, 0, 0, 1]
    assert (weights(given, -1.0) * 5).tolist() == pytest.approx([3.125] * 4 + [12.5])
    assert (weights(given, -0.5) * 3).tolist() == pytest.approx([2.5] * 4 + [5.0])


def test_without_a_case_nothing_is_fitted() -> None:
    experts = some_experts("frequency")
    missed = evidence(experts, torch.zeros(2, 3), torch.zeros(2, 1, 3), torch.tensor([-1, -1]))
    fit_gates(experts, missed, 0, gated=False)
    assert constants(experts) == pytest.approx({"network": 1.0, "frequency": 0.3})
