"""Groups by taste: clusters of users, computed from their items alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decant.features.sequences import Sequences, training_events

TOPICS = 32  # dimensions of the latent space that users are clustered in
DIGITS = 5  # of an affinity after the point: the same number in training and in a release


@dataclass(frozen=True)
class TasteGroups:
    """A linear rule that assigns a history to one of G groups.

    `affinity`: float64 [N + 1, G], of every item to every group; row 0 (no item) is zero.
    """

    affinity: np.ndarray

    def group(self, items: np.ndarray) -> str | None:
        """The group of a history (item indices, int [T]) as `1` … `G`; None without an item."""
        known, counts = np.unique(items[items > 0], return_counts=True)
        if not len(known):
            return None
        scores = (1 + np.log(counts)) @ self.affinity[known]
        return str(int(scores.argmax()) + 1)

    def groups(self, sequences: Sequences) -> list[str | None]:
        """The group of every user by the events before the validation window."""
        items, starts = np.asarray(sequences.items), np.asarray(sequences.offsets[:-1])
        ends = starts + np.asarray(sequences.split[:, 0])
        return [self.group(items[a:b]) for a, b in zip(starts, ends, strict=True)]

    def to_lists(self) -> list[list[float]]:
        """Plain values for a JSON file."""
        return [[float(value) for value in row] for row in self.affinity]

    @staticmethod
    def from_lists(rows: Sequence[Sequence[float]], items: int) -> "TasteGroups":
        """Read what `to_lists` returned.

        Raises:
            ValueError: the rows are not finite numbers for `items` items.
        """
        affinity = np.array(rows, dtype=np.float64)
        if affinity.ndim != 2 or len(affinity) != items + 1 or not affinity.shape[1]:
            raise ValueError(f"taste groups of shape {affinity.shape} for {items} items")
        if not np.isfinite(affinity).all():
            raise ValueError("taste groups with values that are not finite")
        return TasteGroups(affinity)


def fit_taste_groups(sequences: Sequences, items: int, count: int, seed: int) -> TasteGroups:
    """Cluster users by the items of their training events.

    Latent semantic analysis of users as documents (tf-idf, Deerwester et al. 1990), then k-means
    of the directions. A group's affinities are its centroid, taken back to the items: so a history
    is assigned by one sum. Groups are numbered by size, the largest is 1.

    Args:
        items: of the catalogue. count: number of groups.
    """
    from scipy.sparse import csr_matrix
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.preprocessing import normalize

    events = training_events(sequences)
    user = np.repeat(np.arange(sequences.users), np.asarray(sequences.split[:, 0]))
    shape = (sequences.users, items + 1)
    taken = csr_matrix((np.ones(len(events)), (user, np.asarray(sequences.items)[events])), shape)
    transform = TfidfTransformer(sublinear_tf=True).fit(taken)
    weighted = transform.transform(taken)
    topics = min(TOPICS, *(n - 1 for n in weighted.shape))
    reduction = TruncatedSVD(max(1, topics), random_state=seed).fit(weighted)
    directions = normalize(reduction.transform(weighted))
    clusters = KMeans(min(count, sequences.users), n_init=4, random_state=seed).fit(directions)
    centroids = normalize(clusters.cluster_centers_)
    affinity = transform.idf_[:, None] * (reduction.components_.T @ centroids.T)
    affinity[0] = 0.0
    unordered = TasteGroups(np.round(affinity, DIGITS))
    names = unordered.groups(sequences)
    sizes = [names.count(str(number)) for number in range(1, affinity.shape[1] + 1)]
    return TasteGroups(unordered.affinity[:, np.argsort([-size for size in sizes], kind="stable")])
