"""A mixture of the two best traditional models, chosen on the selection half of validation."""

from dataclasses import dataclass

import numpy as np

from decant.evaluation.metrics import ndcg, rank_targets
from decant.evaluation.scoring import Scorer, batches
from decant.features.sequences import Cases, Sequences

WEIGHTS = tuple(round(0.1 * step, 1) for step in range(1, 10))


@dataclass(frozen=True)
class Mixture:
    """`weight` of the `first` model's scores, the rest of the `second`'s."""

    first: str
    second: str
    weight: float


def mix(first: Scorer, second: Scorer, weight: float) -> Scorer:
    """Scores of two models, standardised per case, `weight` to the first."""

    def score(sequences: Sequences, chosen: Cases) -> np.ndarray:
        a, b = (standardised(model(sequences, chosen)) for model in (first, second))
        return weight * a + (1 - weight) * b

    return score


def standardised(scores: np.ndarray) -> np.ndarray:
    """Each case's scores less their mean over the catalogue, in standard deviations.

    float [C, N + 1]; zero where all items have the same score, and for index 0 (padding).
    """
    items = scores[:, 1:].astype(np.float64)
    centred = items - items.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    scaled = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)
    return np.pad(scaled, ((0, 0), (1, 0)))


def best_weight(
    first: Scorer,
    second: Scorer,
    sequences: Sequences,
    chosen: Cases,
    items: int,
    *,
    k: int,
    exclude_seen: bool,
) -> float:
    """The one of `WEIGHTS` with the highest NDCG@k on the cases; the lowest in a tie."""
    reached = np.zeros(len(WEIGHTS))
    share = 1 / np.bincount(chosen.user)[chosen.user]  # each user counts once
    for rows, batch, masked in batches(sequences, chosen, items, exclude_seen=exclude_seen):
        a, b = (standardised(model(sequences, batch)) for model in (first, second))
        targets = np.asarray(sequences.items)[batch.position]
        mixtures = (w * a + (1 - w) * b for w in WEIGHTS)
        reached += [ndcg(rank_targets(m, masked, targets), k) @ share[rows] for m in mixtures]
    return WEIGHTS[int(reached.argmax())]


def best_two(quality: dict[str, float], kinds: dict[str, str]) -> tuple[str, str] | None:
    """The best model and the best of another kind; None if there is only one kind.

    Models of one kind are too similar for a mixture to gain. The earlier name wins a tie.
    """
    order = sorted(quality, key=lambda name: -quality[name])
    others = [name for name in order if kinds[name] != kinds[order[0]]]
    return (order[0], others[0]) if others else None
