"""Ranking quality over the whole catalogue; ties count against the model.

A figure of a model is the mean over users of each user's mean over their cases, here and in every
report, gate and benchmark: a user with four cases counts as much as one with a single case.

Shapes: C cases, N items; index 0 is the padding and never ranked.
"""

import numpy as np


def rank_targets(scores: np.ndarray, masked: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Rank of each case's target among the items not masked, int [C], from 1.

    Args:
        scores: float [C, N + 1], higher is better; a NaN ranks last.
        masked: bool [C, N + 1], items excluded from the candidates.
        targets: int [C], each from 1 to N.
    """
    rows = np.arange(len(targets))
    scores = np.where(np.isnan(scores), -np.inf, scores)
    at_least = (scores >= scores[rows, targets][:, None]) & ~masked
    at_least[rows, targets] = True
    return at_least.sum(axis=1)


def ndcg(ranks: np.ndarray, k: int) -> np.ndarray:
    """NDCG@k of each case with its one relevant item, float [C] (Järvelin & Kekäläinen 2002)."""
    return np.where(ranks <= k, 1 / np.log2(ranks + 1), 0.0)


def hit(ranks: np.ndarray, k: int) -> np.ndarray:
    """1 where the target is among the k best, float [C]; with one target also recall@k."""
    return (ranks <= k).astype(np.float64)


def quality(
    ranks: np.ndarray, top: np.ndarray, users: np.ndarray, count: np.ndarray, k: int
) -> dict[str, float]:
    """All metrics of one model on one group.

    Args:
        ranks: int [C]; top: int [C, k], 0 for none; users: int [C], whose case it is.
        count: float [N + 1], events of each item in training.

    Returns:
        `ndcg`, `hr`, `recall` (equal to hr: one relevant item), `precision`, `coverage` (share
        of the catalogue recommended at all) and `popularity` (mean share of the recommended items
        in the training events).
    """
    recommended = top[top > 0]
    hits = mean_over_users(hit(ranks, k), users)
    return {
        "ndcg": mean_over_users(ndcg(ranks, k), users),
        "hr": hits,
        "recall": hits,
        "precision": hits / k,
        "coverage": len(np.unique(recommended)) / (len(count) - 1),
        "popularity": float(
            count[recommended].sum() / max(len(recommended), 1) / max(count.sum(), 1)
        ),
    }


def user_means(values: np.ndarray, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of each user's cases → (users with cases, int [V]; means, float [V])."""
    distinct, inverse = np.unique(users, return_inverse=True)
    return distinct, np.bincount(inverse, values) / np.bincount(inverse)


def mean_over_users(values: np.ndarray, users: np.ndarray) -> float:
    """Mean over users of each user's mean over their cases, float [C]; 0 without cases."""
    return float(user_means(values, users)[1].mean()) if len(values) else 0.0
