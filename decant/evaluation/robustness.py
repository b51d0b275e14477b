"""Quality as a function of noise: every model on the same noisy histories.

Models are fitted on clean data; only the histories they read are noisy. Candidates, seen items and
targets are those of the true history. Shapes: C cases.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from decant.evaluation.metrics import ndcg
from decant.evaluation.noise import Noise, Noisy, kinds
from decant.evaluation.scoring import Scorer, rank
from decant.features.encode import Encoder
from decant.features.sequences import Cases, Sequences

SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)
SEEDS = 3  # draws of noise to average
CLEAN = "clean"
Curves = dict[tuple[str, float], np.ndarray]  # (kind, share) -> NDCG of each case, float [C]


@dataclass(frozen=True)
class Trial:
    """The experiment: cases, kinds of noise, shares, and the seeds of the draws."""

    sequences: Sequences
    encoder: Encoder
    chosen: Cases
    noises: dict[str, Noise]
    shares: tuple[float, ...]
    seeds: tuple[int, ...]
    k: int

    @property
    def rankings(self) -> int:
        """Number of rankings of the cases per model."""
        return 1 + len(self.noises) * len(self.shares) * len(self.seeds)


def trial(
    sequences: Sequences,
    encoder: Encoder,
    chosen: Cases,
    *,
    shares: tuple[float, ...] = SHARES,
    seeds: int = SEEDS,
    seed: int,
    k: int,
) -> Trial:
    """The standard experiment: every kind of noise, `seeds` draws, with seeds from `seed` on."""
    drawn = tuple(range(seed, seed + seeds))
    return Trial(sequences, encoder, chosen, kinds(encoder.max_length), shares, drawn, k)


def measure_all(
    makers: dict[str, Callable[[], Scorer]],
    rows: dict[str, np.ndarray],
    conditions: Trial,
    progress: Callable[[str, int], None] = lambda name, rankings: None,
) -> dict[str, Curves]:
    """The curves of every model; as many models at a time as there are cores.

    Args:
        makers: factories of the models' scorers; a fitted one is large, so it is freed after use.
        rows: the cases a model is measured on, if not all; NaN on the others.
        progress: called with a model's name and the number of rankings just finished.
    """

    def measure_one(name: str) -> Curves:
        return measure(makers[name](), rows.get(name), conditions, lambda n: progress(name, n))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(makers, pool.map(measure_one, makers), strict=True))


def measure(
    scorer: Scorer, rows: np.ndarray | None, conditions: Trial, progress: Callable[[int], None]
) -> Curves:
    """One model's NDCG by kind and share, the mean over the seeds; `CLEAN` at share 0."""
    everything = np.arange(len(conditions.chosen))
    rows = everything if rows is None else rows
    chosen = conditions.chosen.take(rows)

    def scored(reader: Scorer) -> np.ndarray:
        ranking = rank(
            reader,
            conditions.sequences,
            chosen,
            len(conditions.encoder.items),
            k=conditions.k,
            exclude_seen=conditions.encoder.exclude_seen,
        )
        values = np.full(len(conditions.chosen), np.nan)
        values[rows] = ndcg(ranking.ranks, conditions.k)
        progress(1)
        return values

    curves = {(CLEAN, 0.0): scored(scorer)}
    for kind, noise in conditions.noises.items():
        for share in conditions.shares:
            drawn = [
                scored(NoisyScorer(scorer, conditions.sequences, chosen, noise, share, seed))
                for seed in conditions.seeds
            ]
            curves[kind, share] = np.mean(drawn, axis=0)
    return curves


class NoisyScorer:
    """A scorer that reads noisy histories in place of the true ones of its caller."""

    def __init__(
        self,
        scorer: Scorer,
        sequences: Sequences,
        chosen: Cases,
        noise: Noise,
        share: float,
        seed: int,
    ) -> None:
        self.scorer = scorer
        self.made: list[tuple[np.ndarray, Noisy]] = [
            (turn.position, noise(sequences, turn, share, seed)) for turn in turns(chosen)
        ]

    def __call__(self, sequences: Sequences, chosen: Cases) -> np.ndarray:
        """Scores of each case from its noisy history, float [C, N + 1]."""
        scores: np.ndarray | None = None
        for position, (noisy, cases) in self.made:
            rows = np.flatnonzero(np.isin(chosen.position, position))
            if not len(rows):
                continue
            noisy_cases = cases.take(np.searchsorted(position, chosen.position[rows]))
            part = self.scorer(noisy, noisy_cases)
            if scores is None:
                scores = np.zeros((len(chosen), part.shape[1]), part.dtype)
            scores[rows] = part
        assert scores is not None
        return scores


def turns(chosen: Cases) -> Iterator[Cases]:
    """The first case of each user, then the second, and so on."""
    order = np.lexsort((chosen.position, chosen.user))
    ordered = chosen.take(order)
    _, begins, counts = np.unique(ordered.user, return_index=True, return_counts=True)
    turn = np.arange(len(ordered)) - np.repeat(begins, counts)
    for number in range(int(counts.max(initial=0))):
        yield ordered.take(np.flatnonzero(turn == number))
