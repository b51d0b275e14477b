"""Losses over the catalogue, one number per prediction, and losses on states and weights.

P predictions, N items, K items in a teacher's soft labels. `teacher_log_probs` float [P, K + 1]:
the teacher's log-probabilities of those items and, last, of all other items together.
"""

import torch
from torch import Tensor
from torch.nn import functional

SMALLEST_REST = 1e-6  # of a distribution's mass, which rounding may reduce to 0


def hard_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy with the items actually taken: scores [P, N + 1], targets int [P] → [P]."""
    return functional.cross_entropy(scores, targets, reduction="none")


def soft_loss(own: Tensor, teacher_log_probs: Tensor, temperature: float) -> Tensor:
    """Cross-entropy with the teacher's soft labels of its top K (Hinton et al. 2015) → [P].

    The mass outside the top K is one more class, so the student learns its amount but not its
    distribution.

    Args:
        own: the student's log-probabilities of the K items, [P, K].
        temperature: softens both distributions over the K + 1 classes.
    """
    teacher = functional.log_softmax(teacher_log_probs / temperature, dim=1)
    student = functional.log_softmax(with_rest(own) / temperature, dim=1)
    return -(teacher.exp() * student).sum(dim=1) * temperature**2


def with_rest(log_probabilities: Tensor) -> Tensor:
    """Log-probabilities [..., K] and that of all other items together → [..., K + 1]."""
    kept = log_probabilities.exp().sum(dim=-1, keepdim=True)
    rest = torch.log((1 - kept).clamp(min=SMALLEST_REST))
    return torch.cat([log_probabilities, rest], dim=-1)


def rce_kd_loss(scores: Tensor, ids: Tensor, teacher_log_probs: Tensor) -> Tensor:
    """Cross-entropy over the teacher's top K and the student's own top K together → [P].

    The comparison must include the items that the student ranks high, else its cross-entropy says
    little about its NDCG (rejuvenated cross-entropy, Zhu and Zhang 2025). The rest of the teacher's
    mass is distributed evenly over the items outside its top K.

    Args:
        scores: the student's [P, N + 1]; index 0 is padding. ids: int [P, K].
    """
    items, k = scores.shape[1] - 1, ids.shape[1]
    top = scores[:, 1:].detach().topk(min(k, items), dim=1).indices + 1
    listed = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, top, True)
    listed.scatter_(1, ids, True)
    each = teacher_log_probs[:, -1:].exp() / max(items - k, 1)
    teacher = (listed * each).scatter(1, ids, teacher_log_probs[:, :-1].exp())
    teacher = teacher / teacher.sum(dim=1, keepdim=True)
    among = torch.logsumexp(scores.masked_fill(~listed, -torch.inf), dim=1)
    return among - (teacher * scores).sum(dim=1)


def stratified_loss(of_ids: Tensor, teacher_log_probs: Tensor, strata: Tensor) -> Tensor:
    """Cross-entropy with the teacher within each stratum of popularity, mean over strata → [P].

    Soft labels mainly reflect popularity; within a stratum only the user's taste remains (unbiased
    distillation, Chen et al. 2023). Strata with fewer than two of the K items are ignored.

    Args:
        of_ids: the student's scores of the K items, [P, K]. strata: of these items, int [P, K].
    """
    total, strata_compared = torch.zeros_like(of_ids[:, 0]), torch.zeros_like(of_ids[:, 0])
    for stratum in range(int(strata.max()) + 1):
        inside = strata == stratum
        compared = inside.sum(dim=1) > 1
        apart = torch.where(
            compared[:, None], ~inside, False
        )  # keeps rows without a comparison finite
        teacher = torch.softmax(teacher_log_probs[:, :-1].masked_fill(apart, -torch.inf), dim=1)
        student = torch.log_softmax(of_ids.masked_fill(apart, -torch.inf), dim=1)
        loss = -(teacher * student.masked_fill(apart, 0)).sum(dim=1)
        total = total + loss * compared
        strata_compared = strata_compared + compared
    return total / strata_compared.clamp(min=1)


def states_loss(projected: Tensor, states: Tensor) -> Tensor:
    """Squared distance of the student's states from the teacher's (FitNets, Romero et al. 2015).

    `projected` [P, D]: the student's, projected to the teacher's width. `states` [P, D]: the
    teacher's → [P], relative to the mean square of its states.
    """
    size = states.square().mean().clamp(min=1e-12)
    return (projected - states).square().mean(dim=1) / size


def relations_loss(own: Tensor, teacher: Tensor, heads: int, inside: Tensor) -> Tensor:
    """Divergence of the attention relations of student and teacher (MiniLMv2, Wang et al. 2021).

    For queries with keys, and for values with values: cross-entropy of the student's softmax over
    earlier positions with the teacher's, less the teacher's entropy (a Kullback-Leibler
    divergence), mean over heads and positions → a scalar. Vectors are split again into `heads`
    relation heads, so the models may differ in the number of heads and in width.

    Args:
        own: queries, keys and values of the student [3, B, T, d]. teacher: [3, B, T, D].
        inside: bool [B, T], false at padding.
    """
    total = torch.zeros((), device=own.device)
    for first, second in ((0, 1), (2, 2)):
        student = _relations(own[first], own[second], heads, inside)
        target = _relations(teacher[first], teacher[second], heads, inside)
        divergence = (target.exp() * (target - student)).sum(dim=-1)  # [B, heads, T]
        rows = inside[:, None].expand_as(divergence)
        total = total + divergence[rows].mean()
    return total / 2


def _relations(a: Tensor, b: Tensor, heads: int, inside: Tensor) -> Tensor:
    """Log-softmax over earlier positions of scaled products, [B, heads, T, T]."""
    a, b = (x.unflatten(2, (heads, -1)).transpose(1, 2).float() for x in (a, b))
    products = a @ b.transpose(2, 3) * a.shape[-1] ** -0.5
    length = products.shape[-1]
    later = torch.ones(length, length, dtype=torch.bool, device=products.device).triu(1)
    return torch.log_softmax(products.masked_fill(later | ~inside[:, None, None], -1e9), dim=-1)


def l2_sp_loss(parameters: list[Tensor], start: list[Tensor]) -> Tensor:
    """Squared distance from the initial weights (L2-SP, Li et al. 2018)."""
    distances = [(p - s).square().sum() for p, s in zip(parameters, start, strict=True)]
    return torch.stack(distances).sum()
