"""Cluster users by consumption (tf-idf, SVD, k-means)."""

import numpy as np

from decant.features.sequences import Sequences, training_events

TOPICS = 32  # dimensions of a user's reduced items


def taste_groups(
    sequences: Sequences, items: int, members: np.ndarray, count: int, seed: int
) -> dict[str, np.ndarray]:
    """Divide users into `count` clusters by the items of their training events.

    Latent semantic analysis of users as documents (tf-idf, Deerwester et al. 1990), then k-means
    of the normalised vectors.

    Args:
        members: the users to divide.

    Returns:
        Users by `taste_1`, `taste_2`, …, the largest first; none is empty.
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
    weighted = TfidfTransformer(sublinear_tf=True).fit_transform(taken[members])
    topics = min(TOPICS, *(n - 1 for n in weighted.shape))
    reduced = TruncatedSVD(max(1, topics), random_state=seed).fit_transform(weighted)
    cluster = KMeans(min(count, len(members)), n_init=4, random_state=seed).fit_predict(
        normalize(reduced)
    )
    clusters = sorted((members[cluster == n] for n in np.unique(cluster)), key=len, reverse=True)
    return {f"taste_{n}": users for n, users in enumerate(clusters, 1)}
