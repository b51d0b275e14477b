"""Traditional recommenders, fitted on the training events, as baselines.

Each is a function of the sequences that returns a `Scorer`. N items; index 0 is the padding.
"""

from collections.abc import Callable

import numpy as np

from decant.evaluation.baselines.chains import markov as markov
from decant.evaluation.baselines.factors import bpr, ials
from decant.evaluation.baselines.linear import ease, recency_ease
from decant.evaluation.baselines.neighbours import content_knn, item_knn, popularity
from decant.evaluation.baselines.repeats import personal_top, tifu_knn
from decant.evaluation.scoring import Scorer
from decant.features.sequences import Sequences

Fit = Callable[[Sequences, int], Scorer]

CONTENT = "content_knn"
HYBRID = "hybrid"
COUNTS = "count_mixture"
LARGEST_INVERSE = 15_000  # items: EASE's matrix and its inverse then take 4 GB and some minutes

BASELINES: dict[str, Fit] = {
    "popularity": popularity,
    "item_knn": item_knn,
    "ials": ials,
    "bpr": bpr,
    "ease": ease,
    "recency_ease": recency_ease,
    "markov": markov(steps=1, step_decay=1, back=1, back_decay=1, shrink=20, damp=0),
    "windowed_markov": markov(
        steps=10, step_decay=0.85, back=10, back_decay=0.7, shrink=20, damp=0.1
    ),
    "short_markov": markov(steps=3, step_decay=0.5, back=5, back_decay=0.5, shrink=5, damp=0),
    "personal_top": personal_top(decay=1.0),
    "recent_top": personal_top(decay=0.9),
    "tifu_knn": tifu_knn,
}
INVERTED = ("ease", "recency_ease")
REPEATING = ("personal_top", "recent_top")  # nothing but popularity where repeats are left out
NAMES = (*BASELINES, CONTENT, HYBRID, COUNTS)
# the hybrid mixes baselines of two kinds
KINDS = {
    **{name: name for name in (*BASELINES, CONTENT)},
    **dict.fromkeys(INVERTED, "ease"),
    **dict.fromkeys(REPEATING, "personal"),
    **dict.fromkeys((name for name in BASELINES if name.endswith("markov")), "markov"),
}


def applicable(
    items: int, vectors: np.ndarray | None, exclude_seen: bool
) -> tuple[dict[str, Fit], dict[str, str]]:
    """The baselines for this catalogue, and the reason for leaving out each other one.

    Args:
        vectors: float [N + 1, width], the items' content vectors; None without any.
        exclude_seen: whether items of the history are never recommended.
    """
    fits, left_out = dict(BASELINES), {}
    if items > LARGEST_INVERSE:
        for name in INVERTED:
            del fits[name]
            left_out[name] = (
                f"{items:,} items; it inverts an items × items matrix, which is limited to "
                f"{LARGEST_INVERSE:,} items"
            )
    if exclude_seen:
        for name in REPEATING:
            del fits[name]
            left_out[name] = "items of the history are never recommended here"
    if vectors is None or not vectors.any():
        left_out[CONTENT] = "the items have no texts, or embed.encoder is none"
    else:
        fits[CONTENT] = content_knn(vectors)
    return fits, left_out
