"""Structured pruning: remove whole attention heads and feed-forward units."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from decant.models.recommender import Block, Recommender

BIASES = ("bias", "elapsed")  # of attention, a row for each head


@dataclass(frozen=True)
class Importance:
    """Estimated change of the loss without each part: per layer, heads [h] and hidden [f]."""

    heads: list[Tensor]
    hidden: list[Tensor]


def measure_importance(model: Recommender, losses: Iterable[Tensor]) -> Importance:
    """First-order Taylor importance (Molchanov et al. 2019), summed over `losses`.

    A part's importance is (Σ weight · gradient)² over its weights.
    """
    blocks = blocks_of(model)
    heads = [torch.zeros(b.attention.heads) for b in blocks]
    hidden = [torch.zeros(b.feed.up.out_features) for b in blocks]
    for loss in losses:
        model.zero_grad()
        loss.backward()
        for layer, block in enumerate(blocks):
            of_units = _taylor(block.feed.up.weight, 1) + _taylor(block.feed.down.weight, 0)
            hidden[layer] += of_units**2
            by_column = _taylor(block.attention.out.weight, 0)
            heads[layer] += by_column.unflatten(0, (block.attention.heads, -1)).sum(1) ** 2
    model.zero_grad()
    return Importance(heads, hidden)


def prune(
    model: Recommender, importance: Importance, heads_kept: float, hidden_kept: float
) -> Recommender:
    """A smaller copy of `model` with the most important share of parts of every layer.

    Layer by layer, because a global ranking could empty a layer; at least one part stays.
    """
    keep_heads = [_best(i, heads_kept) for i in importance.heads]
    keep_hidden = [_best(i, hidden_kept) for i in importance.hidden]
    shape = replace(
        model.architecture,
        heads=tuple(len(k) for k in keep_heads),
        hidden=tuple(len(k) for k in keep_hidden),
    )
    smaller = Recommender(shape)
    state = model.state_dict()
    for layer, (heads, units) in enumerate(zip(keep_heads, keep_hidden, strict=True)):
        width = shape.head_width
        columns = (heads[:, None] * width + torch.arange(width)).flatten()
        prefix = f"blocks.{layer}."
        for name in ("query", "key", "value"):
            key = f"{prefix}attention.{name}.weight"
            state[key] = state[key][columns]
        for name in BIASES:
            if (key := f"{prefix}attention.{name}") in state:
                state[key] = state[key][heads]
        state[f"{prefix}attention.out.weight"] = state[f"{prefix}attention.out.weight"][:, columns]
        state[f"{prefix}feed.up.weight"] = state[f"{prefix}feed.up.weight"][units]
        state[f"{prefix}feed.up.bias"] = state[f"{prefix}feed.up.bias"][units]
        state[f"{prefix}feed.down.weight"] = state[f"{prefix}feed.down.weight"][:, units]
    smaller.load_state_dict(state)
    return smaller.eval()


def blocks_of(model: Recommender) -> list[Block]:
    return [block for block in model.blocks if isinstance(block, Block)]


def _taylor(weight: Tensor, along: int) -> Tensor:
    assert weight.grad is not None
    return (weight.detach() * weight.grad).sum(along)


def _best(importance: Tensor, share: float) -> Tensor:
    count = max(1, round(share * len(importance)))
    order = torch.argsort(importance, descending=True, stable=True)
    return order[:count].sort().values
