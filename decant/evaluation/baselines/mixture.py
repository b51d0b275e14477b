"""A constant mixture of what counts know: chains, baskets, repeats and popularity.

p(next | history) = Σ w_m · p_m(next | history), with the weights w_m that make the selection half
of validation most likely. Shapes: C cases, N items, M parts.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from decant.evaluation.baselines.counts import follows, pairs
from decant.evaluation.baselines.linear import together
from decant.evaluation.scoring import BATCH, Scorer
from decant.features.sequences import (
    Cases,
    Sequences,
    basket_starts,
    ranges,
    training_events,
)

PARTS = ("chain", "basket", "previous", "together", "recency", "frequency", "popularity")
WINDOW = 3  # events over which the chain counts
BACK = 5  # items of the history that it starts from
DECAY = 0.5  # weight per step, of both
CHAIN_SHRINK = 5.0  # pseudo-events that lead nowhere, of each item
BASKET_SHRINK = 0.5  # the same in tables of baskets, of which each basket counts once
RECENCY = 0.7  # weight per basket back
TOGETHER = 0.95  # the same in what is taken together
ROUNDS = 200  # of expectation-maximisation
SMALLEST = 1e-12
HALF_LIFE = 120.0  # days
DAY = 86_400.0  # seconds


@dataclass(frozen=True)
class Counts:
    """Shares of what follows: rows are the earlier items, [N + 1, N + 1]; `popularity` [N + 1].

    `chain`: the next events. `basket`: the other items of a basket. `previous`: the items of the
    next basket. `together`: what is taken at about the same time. `half_life`: days after which an
    event counts half; None: all count the same.
    """

    chain: sparse.csr_array
    basket: sparse.csr_array
    previous: sparse.csr_array
    together: sparse.csr_array
    popularity: np.ndarray
    half_life: float | None = None


def count(
    sequences: Sequences,
    items: int,
    half_life: float | None = None,
    taken_together: sparse.csr_array | None = None,
) -> Counts:
    """Count what follows what in the training events.

    `taken_together`: the result of `together`, which does not fade; None: computed here.
    """
    events = training_events(sequences)
    fresh = freshness(np.asarray(sequences.times)[events], half_life)
    chain = sparse.csr_array((items + 1, items + 1))
    for step in range(1, WINDOW + 1):
        chain = chain + follows(sequences, items, step, fresh) * DECAY ** (step - 1)
    numbers, first, inverse = np.unique(
        np.asarray(sequences.baskets)[events], return_index=True, return_inverse=True
    )
    held = pairs(inverse, np.asarray(sequences.items)[events], (len(numbers), items + 1))
    held.data[:] = 1
    size = np.diff(held.indptr)
    pair = fresh[first] / np.maximum(size - 1, 1)
    beside = sparse.csr_array(held.T @ (sparse.diags_array(pair) @ held))
    beside.setdiag(0)
    beside.eliminate_zeros()
    owner = np.searchsorted(np.asarray(sequences.offsets), events[first], side="right")
    later = 1 + np.flatnonzero(owner[1:] == owner[:-1])
    led = sparse.diags_array(fresh[first[later]] / size[later])
    next_basket = sparse.csr_array(held[later - 1].T @ (led @ held[later]))
    number = np.bincount(np.asarray(sequences.items)[events], fresh, minlength=items + 1)
    popularity = np.where(np.arange(items + 1) > 0, number + 0.01, 0.0)
    return Counts(
        shares(chain, CHAIN_SHRINK),
        shares(beside, BASKET_SHRINK),
        shares(next_basket, BASKET_SHRINK),
        together(sequences, items) if taken_together is None else taken_together,
        popularity / popularity.sum(),
        half_life,
    )


def freshness(times: np.ndarray, half_life: float | None) -> np.ndarray:
    """The weight of each event, float [E]: 1 for the newest, half of it after each half-life."""
    if half_life is None or not len(times):
        return np.ones(len(times))
    return np.asarray(0.5 ** ((times.max() - times) / (half_life * DAY)))


def shares(table: sparse.csr_array, shrink: float) -> sparse.csr_array:
    """Each row divided by its sum and `shrink`."""
    total = np.asarray(table.sum(axis=1)).ravel()
    return sparse.csr_array(sparse.diags_array(1 / (total + shrink)) @ table)


def distributions(
    counts: Counts, sequences: Sequences, chosen: Cases, items: int
) -> Iterator[np.ndarray]:
    """Every part's probability of each item, float [C, N + 1] each, in the order of `PARTS`.

    They sum to at most 1: what a part does not know is missing.
    """
    start = np.asarray(sequences.offsets)[chosen.user]
    end, opened = chosen.position, basket_starts(sequences, chosen.position)
    numbers = np.asarray(sequences.baskets)
    before = basket_starts(sequences, np.maximum(opened - 1, 0))
    closed = np.where(opened > start, before, opened)

    def weights(first: np.ndarray, last: np.ndarray, decay: np.ndarray) -> sparse.csr_array:
        """The events [first, last) of each case, weighted; the weights of a case sum to 1."""
        row = np.repeat(np.arange(len(chosen)), last - first)
        total = np.bincount(row, decay, minlength=len(chosen))
        taken = np.asarray(sequences.items)[ranges(first, last)]
        return pairs(row, taken, (len(chosen), items + 1), decay / total[row])

    def equal(first: np.ndarray, last: np.ndarray) -> sparse.csr_array:
        return weights(first, last, np.ones(int((last - first).sum())))

    recent = np.maximum(start, end - BACK)
    steps = np.repeat(end, end - recent) - 1 - ranges(recent, end)
    past = ranges(start, opened)
    back = np.repeat(numbers[end], opened - start) - numbers[past]
    all_back = np.repeat(numbers[end], end - start) - numbers[ranges(start, end)]
    yield (weights(recent, end, DECAY**steps) @ counts.chain).toarray()
    yield (equal(opened, end) @ counts.basket).toarray()
    yield (equal(closed, opened) @ counts.previous).toarray()
    yield (weights(start, end, TOGETHER**all_back) @ counts.together).toarray()
    yield weights(start, opened, RECENCY**back).toarray()
    yield equal(start, opened).toarray()
    yield np.broadcast_to(counts.popularity, (len(chosen), items + 1))


def fit_mixture(sequences: Sequences, chosen: Cases, items: int) -> tuple[Counts, dict[str, float]]:
    """The counts and the weights of the parts that make the cases most likely.

    Counts of all times, or those that fade with a half-life of `HALF_LIFE` days.
    """
    timed = not np.isnan(np.asarray(sequences.times)).any()
    best: tuple[float, Counts, dict[str, float]] | None = None
    taken_together = together(sequences, items)
    for half_life in (None, HALF_LIFE) if timed else (None,):
        counts = count(sequences, items, half_life, taken_together)
        likelihood, weights = fitted_weights(counts, sequences, chosen, items)
        if best is None or likelihood > best[0]:
            best = (likelihood, counts, weights)
    assert best is not None
    return best[1:]


def fitted_weights(
    counts: Counts, sequences: Sequences, chosen: Cases, items: int
) -> tuple[float, dict[str, float]]:
    """The weights of the parts by expectation-maximisation, and the mean log-likelihood."""
    rows = np.arange(len(chosen))
    likely = np.zeros((len(chosen), len(PARTS)))
    for at in range(0, len(chosen), BATCH):
        part = chosen.take(rows[at : at + BATCH])
        targets = np.asarray(sequences.items)[part.position]
        for m, scores in enumerate(distributions(counts, sequences, part, items)):
            likely[at : at + BATCH, m] = scores[np.arange(len(part)), targets]
    weight = np.full(len(PARTS), 1 / len(PARTS))
    for _ in range(ROUNDS):
        joint = likely * weight + SMALLEST
        weight = (joint / joint.sum(axis=1, keepdims=True)).mean(axis=0)
    likelihood = float(np.log(likely @ weight + SMALLEST).mean())
    return likelihood, {name: float(value) for name, value in zip(PARTS, weight, strict=True)}


def mixture(counts: Counts, weights: dict[str, float], items: int) -> Scorer:
    """The mixture with these weights of the `PARTS`."""

    def score(sequences: Sequences, chosen: Cases) -> np.ndarray:
        parts = distributions(counts, sequences, chosen, items)
        total = np.zeros((len(chosen), items + 1))
        for name, part in zip(PARTS, parts, strict=True):
            total += weights[name] * part
        return total

    return score
