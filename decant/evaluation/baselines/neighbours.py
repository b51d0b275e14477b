"""Popularity, and neighbours of the history's items: by their users, by their content."""

from collections.abc import Callable

import numpy as np
from scipy import sparse

from decant.evaluation.baselines.counts import histories, user_items
from decant.evaluation.scoring import Scorer
from decant.features.sequences import Cases, Sequences, training_counts

NEIGHBOURS = 10  # of each item; best of 5 to 400 on MovieLens-1M's validation
ROWS = 256  # items whose neighbours are computed at a time
CONTENT_DECAY = 0.7  # weight per step back in a content profile


def popularity(sequences: Sequences, items: int) -> Scorer:
    """Score items by their training events."""
    count = training_counts(sequences, items)
    return lambda sequences, chosen: np.broadcast_to(count, (len(chosen), items + 1))


def item_knn(sequences: Sequences, items: int) -> Scorer:
    """Items with similar users to those of the history's items (Deshpande & Karypis 2004).

    An item is a column of the users' rows, each of unit length; the score of b sums the cosines
    of b and those items of the history that are among its `NEIGHBOURS` nearest.
    """
    seen = user_items(sequences, items)
    rows = sparse.diags_array(1 / np.sqrt(np.maximum(_totals(seen, 1), 1))) @ seen
    columns = rows @ sparse.diags_array(1 / np.sqrt(np.maximum(_totals(rows**2, 0), 1e-12)))
    near = nearest(sparse.csc_array(columns), NEIGHBOURS).T.tocsr()

    def score(sequences: Sequences, chosen: Cases) -> np.ndarray:
        return np.asarray((histories(sequences, chosen, items) @ near).toarray())

    return score


def nearest(columns: sparse.csc_array, most: int) -> sparse.csr_array:
    """Inner products of each column with its `most` nearest others, [N + 1, N + 1], one row each.

    In a tie the lower index wins.
    """
    everything, kept = columns.tocsr(), []
    for start in range(0, columns.shape[1], ROWS):
        products = sparse.csr_array(columns[:, start : start + ROWS].T @ everything)
        products.sort_indices()
        for row in range(products.shape[0]):
            inside = slice(products.indptr[row], products.indptr[row + 1])
            index, value = products.indices[inside], products.data[inside]
            others = index != start + row
            index, value = index[others], value[others]
            best = np.argsort(-value, kind="stable")[:most]
            kept.append((index[best], value[best]))
    ends = np.r_[0, np.cumsum([len(index) for index, _ in kept])]
    indices, values = (np.concatenate(part) for part in zip(*kept, strict=True))
    return sparse.csr_array((values, indices, ends), shape=(len(kept), len(kept)))


def content_knn(vectors: np.ndarray) -> Callable[[Sequences, int], Scorer]:
    """Items with similar content to that of the history's last items.

    `vectors`: float [N + 1, width], of unit length or zero. The score is the inner product with
    the sum of the history's vectors, weighted by `CONTENT_DECAY`^j, j back from the end.
    """

    def fit(sequences: Sequences, items: int) -> Scorer:
        count = training_counts(sequences, items)
        popular = 1e-9 * count / max(count.sum(), 1)  # orders items without content

        def score(sequences: Sequences, chosen: Cases) -> np.ndarray:
            profile = histories(sequences, chosen, items, decay=CONTENT_DECAY) @ vectors
            return np.asarray(profile @ vectors.T + popular)

        return score

    return fit


def _totals(table: sparse.csr_array, axis: int) -> np.ndarray:
    return np.asarray(table.sum(axis=axis)).ravel()
