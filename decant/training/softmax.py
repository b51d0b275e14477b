"""Losses over large catalogues: the full softmax in chunks, or a sampled one with correction.

P predictions, N items, d = dimension, K soft labels, S sampled items.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

CHUNK = 256  # predictions at a time: their scores of a few thousand items fit into a CPU's cache
AT_ONCE = 2**26  # scores at a time on other devices: a GPU needs few large steps
Loss = Callable[[Tensor, slice], Tensor]


def chunked(loss: Loss, states: Tensor, table: Tensor, bias: Tensor) -> Tensor:
    """Sum of a loss over all predictions without keeping all [P, N + 1] scores in memory.

    Gradients are computed chunk by chunk in the forward pass, as in fused linear cross-entropy
    (Hsu et al. 2024), for any loss of the scores.

    Args:
        loss: scores float32 [C, N + 1] and the rows they belong to → a scalar, their sum.
        states: [P, d]. table: [N + 1, d]. bias: [N + 1].
    """
    if not torch.is_grad_enabled():
        parts = [
            loss(functional.linear(states[r], table, bias).float(), r)
            for r in chunks_of(states, table)
        ]
        return torch.stack(parts).sum()
    total: Tensor = _Chunked.apply(loss, states, table, bias)  # type: ignore[no-untyped-call]
    return total


def chunks_of(states: Tensor, table: Tensor) -> Iterator[slice]:
    """Slices of rows that are scored together."""
    size = CHUNK if states.device.type == "cpu" else max(CHUNK, AT_ONCE // len(table))
    return (slice(at, at + size) for at in range(0, len(states), size))


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loss: Loss, states: Tensor, table: Tensor, bias: Tensor) -> Tensor:
        leaves = [x.detach().requires_grad_() for x in (table, bias)]
        of_states = torch.empty_like(states)
        sums = [torch.zeros_like(x) for x in leaves]
        total = torch.zeros((), device=states.device)
        for rows in chunks_of(states, table):
            with torch.enable_grad():
                part = states[rows].detach().requires_grad_()
                value = loss(functional.linear(part, *leaves).float(), rows)
            of_states[rows], *others = torch.autograd.grad(value, (part, *leaves))
            for so_far, more in zip(sums, others, strict=True):
                so_far += more
            total += value.detach()
        ctx.save_for_backward(of_states, *sums)
        return total

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> Any:
        return (None, *(outputs[0] * gradient for gradient in ctx.saved_tensors))


@dataclass
class Sample:
    """Items drawn in place of the whole catalogue: `ids` int [S], and the logarithm of the expected
    count of each in the sample, `log_expected` [S]."""

    ids: Tensor
    log_expected: Tensor


def draw(weights: Tensor, size: int, generator: torch.Generator | None = None) -> Sample:
    """Draw items with replacement, in proportion to their weights [N + 1]."""
    ids = torch.multinomial(weights, size, replacement=True, generator=generator)
    return Sample(ids, torch.log(size * weights[ids] / weights.sum()))


def sampled_log_partition(
    states: Tensor, of_targets: Tensor, targets: Tensor, sample: Sample, table: Tensor, bias: Tensor
) -> Tensor:
    """log Σ exp(score) over the catalogue, estimated from the target and a sample → [P].

    Each sampled item represents 1 ÷ its expected count of items (the logQ correction, Bengio &
    Senécal 2008); the target is excluded from the sample, since it is included exactly.

    Args:
        states: [P, d]. of_targets: the targets' scores [P]. targets: int [P].
    """
    scores = functional.linear(states, table[sample.ids], bias[sample.ids]).float()
    scores = scores - sample.log_expected
    scores = scores.masked_fill(sample.ids == targets[:, None], -torch.inf)
    return torch.logaddexp(of_targets, torch.logsumexp(scores, dim=1))


def scores_of(states: Tensor, ids: Tensor, table: Tensor, bias: Tensor) -> Tensor:
    """Scores of some items for each prediction: states [P, d], ids int [P, K] → [P, K]."""
    products = torch.einsum("pd,pkd->pk", states, functional.embedding(ids, table))
    return products.float() + bias[ids]
