"""What users took before, they take again: personal frequency, and that of similar users.

Where people buy again these are hard to beat (Li et al. 2023, on next-basket recommendation).
"""

from collections.abc import Callable

import numpy as np
from scipy import sparse

from decant.evaluation.baselines.counts import histories, pairs
from decant.evaluation.scoring import Scorer
from decant.features.sequences import Cases, Sequences, ranges, training_counts

BASKETS_PER_GROUP = 7  # this and the next four as published for a shop like ours
BASKET_DECAY = 0.9  # weight per basket back within its group
GROUP_DECAY = 0.7  # weight per group back
NEIGHBOURS = 300
OWN_SHARE = 0.7  # weight of the user's own vector, the rest is the neighbours'
MOST_USERS = 20_000  # among whom neighbours are looked for


def personal_top(*, decay: float) -> Callable[[Sequences, int], Scorer]:
    """The user's most frequent items, then everybody's; an event j back weighs `decay`^j."""

    def fit(sequences: Sequences, items: int) -> Scorer:
        count = training_counts(sequences, items)
        popular = 1e-6 * count / max(count.sum(), 1)  # orders what the user never took

        def score(sequences: Sequences, chosen: Cases) -> np.ndarray:
            own = histories(sequences, chosen, items, decay=decay)
            return np.asarray(own.toarray() + popular)

        return score

    return fit


def tifu_knn(sequences: Sequences, items: int) -> Scorer:
    """Personal frequency that fades with time, and the mean of the nearest users' (Hu et al. 2020).

    Only the baskets before the case count; an event without a basket is one of its own.
    """
    ends = np.asarray(sequences.offsets[:-1]) + np.asarray(sequences.split[:, 0])
    known = np.flatnonzero(sequences.split[:, 0] > 0)
    known = known[:: max(1, -(-len(known) // MOST_USERS))]
    table = faded(sequences, known, ends[known], items)
    length = np.asarray((table**2).sum(axis=1)).ravel()
    nearest = min(NEIGHBOURS, len(known))
    turned = sparse.csc_array(table.T)

    def score(sequences: Sequences, chosen: Cases) -> np.ndarray:
        own = faded(sequences, chosen.user, chosen.position, items)
        distance = length - 2 * (own @ turned).toarray()  # less what is the same for all users
        distance[known == chosen.user[:, None]] = np.inf  # one's own past is no neighbour
        near = np.argsort(distance, axis=1, kind="stable")[:, :nearest]
        rows = np.repeat(np.arange(len(chosen)), nearest)
        weight = np.where(np.isfinite(np.take_along_axis(distance, near, 1)), 1 / nearest, 0.0)
        mean = pairs(rows, near.ravel(), (len(chosen), len(known)), weight.ravel()) @ table
        return np.asarray((OWN_SHARE * own + (1 - OWN_SHARE) * mean).toarray())

    return score


def faded(
    sequences: Sequences, users: np.ndarray, ends: np.ndarray, items: int
) -> sparse.csr_array:
    """Vectors of users' events before `ends` (flat indices), float [V, N + 1].

    The mean of groups of `BASKETS_PER_GROUP` baskets, from the newest, each group the mean of its
    baskets; both fade with their distance.
    """
    start = np.asarray(sequences.offsets)[users]
    flat = ranges(start, ends)
    row = np.repeat(np.arange(len(users)), ends - start)
    numbers = np.asarray(sequences.baskets)
    back = numbers[ends - 1][row] - numbers[flat]  # baskets between the event and the end
    group, inside = back // BASKETS_PER_GROUP, back % BASKETS_PER_GROUP
    baskets = numbers[np.maximum(ends - 1, 0)] - numbers[start] + 1
    groups = -(-baskets // BASKETS_PER_GROUP)[row]
    left = baskets[row] - group * BASKETS_PER_GROUP
    size = np.minimum(left, BASKETS_PER_GROUP)
    weight = BASKET_DECAY**inside * GROUP_DECAY**group / (size * groups)
    return pairs(row, np.asarray(sequences.items)[flat], (len(users), items + 1), weight)
