"""What the teacher knows, written once: its most likely next items at every training position."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from decant.features.sequences import Sequences
from decant.models.recommender import Recommender
from decant.training.batches import Windows, cut, training_windows
from decant.training.loop import SoftLabels, to_tensors

BATCH = 64
IDS, LOG_PROBABILITIES = "ids.npy", "log_probabilities.npy"


@torch.inference_mode()
def extract(
    teacher: Recommender,
    sequences: Sequences,
    folder: Path,
    top_k: int,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Write the teacher's top-K log-probabilities of each training event's position.

    Two memory-mapped arrays with one row per event of `sequences` [E, K]: item indices and
    log-probabilities in half precision. Rows of events that are never trained on stay empty
    (ids 0, probability 0).

    Returns:
        Positions covered, bytes, and the mean probability that the K labels hold.
    """
    k = min(top_k, teacher.architecture.items)
    events = len(sequences.items)
    ids = _create(folder / IDS, (events, k), np.int32)
    log_probabilities = _create(folder / LOG_PROBABILITIES, (events, k), np.float16)
    log_probabilities[:] = -np.inf
    windows = training_windows(sequences, teacher.architecture.max_length)
    order = np.argsort(windows.stop - windows.first, kind="stable")
    table, covered, held = teacher.table(), 0, 0.0
    for start in range(0, len(windows), BATCH):
        batch = windows.take(order[start : start + BATCH])
        rows, top, best = _teach(teacher, table, sequences, batch, k)
        ids[rows], log_probabilities[rows] = best, top
        covered += len(rows)
        held += float(np.exp(top).sum())
        progress(len(batch))
    ids.flush()
    log_probabilities.flush()
    size = ids.nbytes + log_probabilities.nbytes
    return {"positions": covered, "bytes": size, "top_k": k, "mass": held / max(covered, 1)}


def load_knowledge(folder: Path) -> SoftLabels:
    """Memory-mapped soft labels."""
    ids = np.load(folder / IDS, mmap_mode="r", allow_pickle=False)
    return SoftLabels(ids, np.load(folder / LOG_PROBABILITIES, mmap_mode="r", allow_pickle=False))


def _teach(
    teacher: Recommender, table: torch.Tensor, sequences: Sequences, windows: Windows, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    arrays, targets, position = cut(sequences, windows, teacher.architecture.event_inputs)
    device = table.device
    wanted = targets > 0
    hidden = teacher.hidden(to_tensors(arrays, device), table)[torch.from_numpy(wanted).to(device)]
    scores = teacher.scores(hidden, table)
    scores[:, 0] = -torch.inf  # no item
    best = torch.log_softmax(scores.float(), dim=-1).topk(k, dim=-1)
    return position[wanted], best.values.cpu().numpy(), best.indices.cpu().numpy()


def _create(path: Path, shape: tuple[int, int], dtype: type) -> np.memmap:
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
