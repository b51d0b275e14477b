"""Low-rank adapters: specialise a model by few parameters, with frozen weights.

LoRA (Hu et al. 2022): W becomes W + B A with A [r, in] and B [out, r]. B starts at zero, so new
adapters do not change the output of a model.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

ADAPTED = (nn.Linear,)


class LowRank(nn.Module):
    """The low-rank update of one weight [out, in]."""

    def __init__(self, out: int, inner: int, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, inner))
        self.up = nn.Parameter(torch.zeros(out, rank))
        nn.init.normal_(self.down, std=inner**-0.5, generator=generator)

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


def adapt(model: nn.Module, rank: int, seed: int) -> int:
    """Add an adapter to every linear layer, freeze the rest; returns the trainable parameters."""
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
    """Merge the adapters into the weights and remove them."""
    for layer in [m for m in model.modules() if parametrize.is_parametrized(m)]:
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
