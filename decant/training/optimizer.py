"""The optimizer and its learning rate schedule."""

import torch
from torch import nn

BETAS = (0.9, 0.98)
WARM_UP = 0.05  # share of all steps


def make_optimizer(model: nn.Module, learning_rate: float, decay: float) -> torch.optim.Optimizer:
    """AdamW; biases, norms and embeddings are not decayed."""
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    parameters = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in parameters if p.ndim > 1 and id(p) not in tables]
    ids = {id(p) for p in decayed}
    groups = [
        {"params": decayed, "weight_decay": decay},
        {"params": [p for p in parameters if id(p) not in ids], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=BETAS, fused=True)


def make_schedule(
    optimizer: torch.optim.Optimizer, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """A short linear warm-up, then linear decay to a twentieth."""
    warm = max(1, round(WARM_UP * steps))

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 1 - 0.95 * min(1.0, (step - warm) / max(1, steps - warm))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
