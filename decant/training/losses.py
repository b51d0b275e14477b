"""Losses over the whole catalogue. P predictions, N items, K soft labels."""

import torch
from torch import Tensor
from torch.nn import functional


def hard_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy with what was really taken: scores [P, N + 1], targets int [P] → scalar."""
    return functional.cross_entropy(scores, targets)


def soft_loss(scores: Tensor, ids: Tensor, log_probabilities: Tensor, temperature: float) -> Tensor:
    """Cross-entropy with the teacher's soft labels (Hinton et al. 2015), kept for its top K.

    The mass outside the top K counts as one more class: the student is told how much of it there
    is, not where.

    Args:
        scores: [P, N + 1]. ids: int [P, K]. log_probabilities: [P, K], of the teacher.
        temperature: both distributions over the K + 1 classes are softened by it.
    """
    own = functional.log_softmax(scores, dim=-1).gather(1, ids)
    teacher = _softened(log_probabilities, temperature)
    student = _softened(own, temperature)
    return -(teacher.exp() * student).sum(dim=1).mean() * temperature**2


def _softened(log_probabilities: Tensor, temperature: float) -> Tensor:
    kept = log_probabilities.exp().sum(dim=1, keepdim=True)
    rest = torch.log((1 - kept).clamp(min=1e-6))
    classes = torch.cat([log_probabilities, rest], dim=1)
    return functional.log_softmax(classes / temperature, dim=1)


def anchor_loss(parameters: list[Tensor], start: list[Tensor]) -> Tensor:
    """Squared distance from the weights training started with (L2-SP, Li et al. 2018)."""
    distances = [(p - s).square().sum() for p, s in zip(parameters, start, strict=True)]
    return torch.stack(distances).sum()
