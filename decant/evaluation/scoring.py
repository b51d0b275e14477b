"""Ranking for all models: the whole catalogue, seen items masked, in batches."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from decant.evaluation.metrics import rank_targets
from decant.features.sequences import Cases, Sequences, histories, history_lengths, masked_items
from decant.runtime.ranking import top_items
from decant.runtime.session import ATTRIBUTES, Model

BATCH = 256


class Scorer(Protocol):
    """Scores all items for cases, float [C, N + 1]."""

    def __call__(self, sequences: Sequences, chosen: Cases) -> np.ndarray: ...


@dataclass(frozen=True)
class Ranking:
    """Results of a model on C cases: `ranks` int [C], `top` int32 [C, k]."""

    ranks: np.ndarray
    top: np.ndarray


def rank(
    scorer: Scorer,
    sequences: Sequences,
    chosen: Cases,
    items: int,
    *,
    k: int,
    exclude_seen: bool,
    progress: Callable[[int], None] = lambda done: None,
) -> Ranking:
    """Rank the target of each case in the whole catalogue of `items` items."""
    ranks = np.zeros(len(chosen), np.int64)
    tops = np.zeros((len(chosen), min(k, items)), np.int32)
    for rows, batch, masked in batches(sequences, chosen, items, exclude_seen=exclude_seen):
        scores = scorer(sequences, batch)
        ranks[rows] = rank_targets(scores, masked, np.asarray(sequences.items)[batch.position])
        tops[rows] = top_items(scores, masked, k)
        progress(len(batch))
    return Ranking(ranks, tops)


def batches(
    sequences: Sequences, chosen: Cases, items: int, *, exclude_seen: bool
) -> Iterator[tuple[np.ndarray, Cases, np.ndarray]]:
    """Up to `BATCH` cases at a time: their rows in `chosen`, the cases, the masked items."""
    # batches of similar lengths need little padding
    order = np.argsort(history_lengths(sequences, chosen), kind="stable")
    for start in range(0, len(chosen), BATCH):
        rows = order[start : start + BATCH]
        batch = chosen.take(rows)
        yield rows, batch, masked_items(sequences, batch, items, exclude_seen=exclude_seen)


class OnnxScorer:
    """Scores cases with an exported graph, the same as in serving.

    `as_served`: one case at a time without padding, like requests, so that the ranking is exactly
    what users get, whatever a graph does with batches.
    """

    def __init__(self, model: Model, max_length: int, *, as_served: bool = False) -> None:
        self.model, self.max_length, self.as_served = model, max_length, as_served
        self.event_inputs = tuple(name for name in model.inputs if name != ATTRIBUTES)

    def __call__(self, sequences: Sequences, chosen: Cases) -> np.ndarray:
        lengths = history_lengths(sequences, chosen).clip(1, self.max_length)
        batch = histories(sequences, chosen, self.event_inputs, int(lengths.max()))
        if not self.as_served:
            return self.model.scores(batch)
        return np.concatenate([self._request(batch, row, n) for row, n in enumerate(lengths)])

    def _request(self, batch: dict[str, np.ndarray], row: int, length: int) -> np.ndarray:
        one = {name: batch[name][row : row + 1, -length:] for name in self.event_inputs}
        return self.model.scores({**one, ATTRIBUTES: batch[ATTRIBUTES][row : row + 1]})
