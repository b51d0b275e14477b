"""Extract a teacher's knowledge once; the teacher itself is not needed afterwards."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from decant.distillation import shards
from decant.distillation.cross_fitted import CrossFitted
from decant.distillation.shards import Shards
from decant.features.sequences import Sequences
from decant.models.recommender import Architecture, Recommender
from decant.training.batches import Windows, cut, cut_masked, every_nth, training_windows
from decant.training.losses import with_rest
from decant.training.objective import PROJECTIONS, captured
from decant.training.supervision import Knowledge
from decant.training.validate import to_tensors

BATCH = 64
MASKS = 8  # one in this many events is masked at a time for a masked teacher
IDS, LOG_PROBABILITIES, STATES, RELATIONS = "ids", "log_probabilities", "states", "relations"


@torch.inference_mode()
def extract(
    teachers: Sequence[Recommender],
    sequences: Sequences,
    folder: Path,
    top_k: int,
    *,
    states: bool = False,
    relations: bool = False,
    cross_fitted: CrossFitted | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Write the teachers' knowledge at the position of each training event, in shards.

    See `Knowledge` for the arrays; all except the ids are in half precision. Rows of events that
    are never trained on stay empty: ids 0, probability 0. Several teachers with equal inputs are
    combined by the mean of their probabilities; states and relations are those of the first.

    Args:
        cross_fitted: the experts of a single teacher; None: the labels are the network's alone.
        states, relations: write these too. A masked teacher has no relations.

    Returns:
        Number of positions, bytes, and the mean probability of the K labels together.
    """
    first = teachers[0]
    k, events = min(top_k, first.architecture.items), len(sequences.items)
    written = {
        IDS: shards.create(folder, IDS, events, (k,), np.int32),
        LOG_PROBABILITIES: shards.create(folder, LOG_PROBABILITIES, events, (k + 1,), np.float16),
    }
    for file in written[LOG_PROBABILITIES].files:
        file[:] = -np.inf
    width = first.architecture.dimension
    if states:
        written[STATES] = shards.create(folder, STATES, events, (width,), np.float16)
    if relations:
        a = first.architecture
        inner = (len(PROJECTIONS), a.heads[-1] * a.head_width)
        written[RELATIONS] = shards.create(folder, RELATIONS, events, inner, np.float16)
    windows = training_windows(sequences, first.architecture.max_length)
    order = np.argsort(windows.stop - windows.first, kind="stable")
    covered, held = 0, 0.0
    for start in range(0, len(windows), BATCH):
        batch = windows.take(order[start : start + BATCH])
        for mass in _write(teachers, sequences, batch, k, written, cross_fitted):
            covered, held = covered + len(mass), held + float(mass.sum())
        progress(len(batch))
    for array in written.values():
        for file in array.files:
            file.flush()  # type: ignore[attr-defined]
    return {
        "positions": covered,
        "bytes": {name: array.bytes for name, array in written.items()},
        "top_k": k,
        "mass": held / max(covered, 1),
    }


def load_knowledge(folder: Path) -> Knowledge:
    """Load memory-mapped knowledge."""
    ids, labels = shards.load(folder, IDS), shards.load(folder, LOG_PROBABILITIES)
    if ids is None or labels is None:
        raise FileNotFoundError(f"{folder} has no soft labels: run the stage `knowledge`")
    states, relations = shards.load(folder, STATES), shards.load(folder, RELATIONS)
    return Knowledge(ids, labels, states, relations)


def _write(
    teachers: Sequence[Recommender],
    sequences: Sequences,
    windows: Windows,
    k: int,
    written: dict[str, Shards],
    cross_fitted: CrossFitted | None,
) -> Iterator[np.ndarray]:
    """Write the rows of `windows`, in one or more parts; yields the mass of each row's top K."""
    first = teachers[0]
    for arrays, targets, position in _supervised(first.architecture, sequences, windows):
        wanted = targets > 0
        rows = position[wanted]
        with captured(first, RELATIONS in written) as attending:
            states = _states(first, arrays)
        others = (_states(teacher, arrays) for teacher in teachers[1:])
        each = [
            _log_probabilities(teacher, own_states, wanted, rows, cross_fitted)
            for teacher, own_states in zip(teachers, (states, *others), strict=True)
        ]
        together = torch.stack(each).logsumexp(dim=0) - math.log(len(each))
        best = together.topk(k, dim=-1)
        written[IDS][rows] = best.indices.cpu().numpy()
        labels = with_rest(best.values).clamp(min=float(np.finfo(np.float16).min))
        written[LOG_PROBABILITIES][rows] = labels.cpu().numpy()
        if STATES in written:
            written[STATES][rows] = states.cpu().numpy()[wanted]
        if RELATIONS in written:
            inside = position > 0
            projections = (
                torch.stack([attending[name] for name in PROJECTIONS], dim=2).cpu().numpy()
            )
            written[RELATIONS][position[inside]] = projections[inside]
        yield best.values.exp().sum(dim=-1).cpu().numpy()


def _states(teacher: Recommender, arrays: dict[str, np.ndarray]) -> Tensor:
    table = teacher.item_embeddings()
    return teacher.encode(to_tensors(arrays, table.device), table)


def _log_probabilities(
    teacher: Recommender,
    states: Tensor,
    wanted: np.ndarray,
    rows: np.ndarray,
    cross_fitted: CrossFitted | None,
) -> Tensor:
    """Log-probabilities of every item at the wanted positions, the events `rows`, [P, N + 1]."""
    scores = teacher.scores(
        states[torch.from_numpy(wanted).to(states.device)], teacher.item_embeddings()
    )
    if cross_fitted is not None:
        scores = cross_fitted.scores(scores, rows)
    scores[:, 0] = -torch.inf  # padding
    return torch.log_softmax(scores.float(), dim=-1)


def _supervised(
    a: Architecture, sequences: Sequences, windows: Windows
) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]]:
    if not a.masked:
        yield cut(sequences, windows, a.event_inputs)
        return
    for part in range(MASKS):
        masked = every_nth(windows, part, MASKS)
        yield cut_masked(sequences, windows, a.event_inputs, masked, a.items + 1)
