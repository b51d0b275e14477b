"""Validation during training: NDCG@10 on the cases that select the best epoch."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor

from decant.evaluation.metrics import mean_over_users, ndcg
from decant.evaluation.scoring import rank
from decant.features.sequences import Cases, Sequences, histories, history_lengths
from decant.models.recommender import Recommender
from decant.training.supervision import Supervision

K = 10
Precision = Callable[[], AbstractContextManager[object]]


class TorchScorer:
    """Scores cases with a model in torch; see `decant.evaluation.scoring.Scorer`.

    States are computed in the given precision, scores always in float32: with less precision many
    items would tie.
    """

    def __init__(self, model: Recommender, precision: Precision = nullcontext) -> None:
        self.model, self.precision = model, precision

    @torch.inference_mode()
    def __call__(self, sequences: Sequences, chosen: Cases) -> np.ndarray:
        model, a = self.model, self.model.architecture
        device = next(model.parameters()).device
        longest = int(history_lengths(sequences, chosen).clip(1, a.max_length).max())
        batch = to_tensors(histories(sequences, chosen, a.request_inputs, longest), device)
        was_training = model.training
        model.eval()
        table = model.item_embeddings()
        with self.precision():
            states = model.encode(batch, table, last=True)[:, 0]
        scores = model.with_experts(model.scores(states.float(), table), batch)
        model.train(was_training)
        return scores.cpu().numpy()


def to_tensors(arrays: dict[str, np.ndarray], device: torch.device) -> dict[str, Tensor]:
    """Arrays as tensors on a device."""
    return {name: to_tensor(array, device) for name, array in arrays.items()}


def to_tensor(array: np.ndarray, device: torch.device) -> Tensor:
    """An array as a tensor on a device; copies to a GPU are asynchronous."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def validate(
    model: Recommender,
    sequences: Sequences,
    supervision: Supervision,
    precision: Precision = nullcontext,
) -> float:
    """Mean NDCG@10 on the cases that select the epoch; 0 without cases."""
    if not len(supervision.selection):
        return 0.0
    ranking = rank(
        TorchScorer(model, precision),
        sequences,
        supervision.selection,
        model.architecture.items,
        k=K,
        exclude_seen=supervision.exclude_seen,
    )
    return mean_over_users(ndcg(ranking.ranks, K), supervision.selection.user)
