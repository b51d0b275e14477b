"""What a teacher knows, written once: its most likely next items at every training position."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from decant.features.sequences import Sequences
from decant.models.recommender import Architecture, Recommender
from decant.training.batches import Windows, cut, cut_masked, every_nth, training_windows
from decant.training.lesson import SoftLabels
from decant.training.validation import to_tensors

BATCH = 64
MASKS = 8  # one in so many events is hidden at a time from a teacher that fills in
IDS, LOG_PROBABILITIES = "ids.npy", "log_probabilities.npy"


@torch.inference_mode()
def extract(
    teachers: Sequence[Recommender],
    sequences: Sequences,
    folder: Path,
    top_k: int,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Write the teachers' top-K log-probabilities of each training event's position.

    Several teachers, which read the same, speak with the mean of their probabilities.
    Two memory-mapped arrays with one row per event of `sequences` [E, K]: item indices and
    log-probabilities in half precision. Rows of events that are never trained on stay empty
    (ids 0, probability 0).

    Returns:
        Positions covered, bytes, and the mean probability that the K labels hold.
    """
    shape = teachers[0].architecture
    k = min(top_k, shape.items)
    events = len(sequences.items)
    ids = _create(folder / IDS, (events, k), np.int32)
    log_probabilities = _create(folder / LOG_PROBABILITIES, (events, k), np.float16)
    log_probabilities[:] = -np.inf
    windows = training_windows(sequences, shape.max_length)
    order = np.argsort(windows.stop - windows.first, kind="stable")
    covered, held = 0, 0.0
    for start in range(0, len(windows), BATCH):
        batch = windows.take(order[start : start + BATCH])
        for rows, top, best in _teach(teachers, sequences, batch, k):
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
    teachers: Sequence[Recommender], sequences: Sequences, windows: Windows, k: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Rows of `windows`, log-probabilities [P, K] and items [P, K], in one part or several."""
    for arrays, targets, position in _lessons(teachers[0].architecture, sequences, windows):
        wanted = targets > 0
        each = torch.stack([_log_probabilities(one, arrays, wanted) for one in teachers])
        best = (each.logsumexp(dim=0) - math.log(len(teachers))).topk(k, dim=-1)
        yield position[wanted], best.values.cpu().numpy(), best.indices.cpu().numpy()


def _log_probabilities(
    teacher: Recommender, arrays: dict[str, np.ndarray], wanted: np.ndarray
) -> torch.Tensor:
    """Of every item at the wanted positions [P, N + 1]."""
    table = teacher.table()
    states = teacher.hidden(to_tensors(arrays, table.device), table)
    scores = teacher.scores(states[torch.from_numpy(wanted).to(table.device)], table)
    scores[:, 0] = -torch.inf  # no item
    return torch.log_softmax(scores.float(), dim=-1)


def _lessons(
    a: Architecture, sequences: Sequences, windows: Windows
) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]]:
    if not a.masked:
        yield cut(sequences, windows, a.event_inputs)
        return
    for part in range(MASKS):
        hidden = every_nth(windows, part, MASKS)
        yield cut_masked(sequences, windows, a.event_inputs, hidden, a.items + 1)


def _create(path: Path, shape: tuple[int, int], dtype: type) -> np.memmap:
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
