"""Losses over the catalogue, one number per prediction. P predictions, N items, K soft labels."""

import torch
from torch import Tensor
from torch.nn import functional

SMALLEST_REST = 1e-6  # of a distribution's mass: half precision may leave none


def hard_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy with what was really taken: scores [P, N + 1], targets int [P] → [P]."""
    return functional.cross_entropy(scores, targets, reduction="none")


def soft_loss(own: Tensor, log_probabilities: Tensor, temperature: float) -> Tensor:
    """Cross-entropy with the teacher's soft labels (Hinton et al. 2015), kept for its top K → [P].

    The mass outside the top K counts as one more class: the student is told how much of it there
    is, not where.

    Args:
        own: the student's log-probabilities of the K items, [P, K]. log_probabilities: the
            teacher's, [P, K].
        temperature: both distributions over the K + 1 classes are softened by it.
    """
    teacher = _softened(log_probabilities, temperature)
    student = _softened(own, temperature)
    return -(teacher.exp() * student).sum(dim=1) * temperature**2


def _softened(log_probabilities: Tensor, temperature: float) -> Tensor:
    kept = log_probabilities.exp().sum(dim=1, keepdim=True)
    rest = torch.log((1 - kept).clamp(min=SMALLEST_REST))
    classes = torch.cat([log_probabilities, rest], dim=1)
    return functional.log_softmax(classes / temperature, dim=1)


def anchor_loss(parameters: list[Tensor], start: list[Tensor]) -> Tensor:
    """Squared distance from the weights training started with (L2-SP, Li et al. 2018)."""
    distances = [(p - s).square().sum() for p, s in zip(parameters, start, strict=True)]
    return torch.stack(distances).sum()
