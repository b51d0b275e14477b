"""Low-rank adapters: a model is specialised by a few numbers beside weights that stay.

LoRA (Hu et al. 2022): W becomes W + B A with A [r, in] and B [out, r], which starts at zero, so a
model with new adapters computes what it did without.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

ADAPTED = (nn.Linear,)


class LowRank(nn.Module):
    """What is added to one weight [out, in]."""

    def __init__(self, out: int, inner: int, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, inner))
        self.up = nn.Parameter(torch.zeros(out, rank))
        nn.init.normal_(self.down, std=inner**-0.5, generator=generator)

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


def adapt(model: nn.Module, rank: int, seed: int) -> int:
    """Give every linear layer an adapter and freeze the rest; how many numbers are trained."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for layer in [m for m in model.modules() if isinstance(m, ADAPTED)]:
        out, inner = layer.weight.shape
        parametrize.register_parametrization(
            layer, "weight", LowRank(out, inner, min(rank, out, inner), generator)
        )
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def merge(model: nn.Module) -> None:
    """Add what the adapters have learned to the weights; no adapter is left."""
    for layer in [m for m in model.modules() if parametrize.is_parametrized(m)]:
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
