"""The protocol `next basket`: rank the catalogue before a basket, with nothing of it seen.

It stands beside `next item` where a user's events of one moment are a set. Shapes: B baskets.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from decant.evaluation.metrics import mean_over_users
from decant.features.sequences import Cases, Sequences, basket_starts, cases, ranges

METRICS = ("basket_ndcg", "basket_recall")


@dataclass(frozen=True)
class Baskets:
    """Baskets to predict: a case at the first event of each; `items` int [M] are those of the
    baskets `rows` int [M], each item of a basket once."""

    cases: Cases
    rows: np.ndarray
    items: np.ndarray

    def __len__(self) -> int:
        return len(self.cases)


def next_baskets(sequences: Sequences, window: str, per_user: int) -> Baskets:
    """The first `per_user` baskets of each user within a window (`validation` or `test`).

    Only items that may be predicted count; a basket without a history before it is no case.
    """
    targets = cases(sequences, window, len(sequences.items))
    first = np.unique(basket_starts(sequences, targets.position))
    user = np.searchsorted(np.asarray(sequences.offsets), first, side="right") - 1
    later = first > np.asarray(sequences.offsets)[user]
    first, user = first[later], user[later]
    _, begins, counts = np.unique(user, return_index=True, return_counts=True)
    kept = np.arange(len(user)) - np.repeat(begins, counts) < per_user
    first, user = first[kept], user[kept]
    numbers = np.asarray(sequences.baskets)
    last = np.searchsorted(numbers, numbers[first], side="right")
    flat, rows = ranges(first, last), np.repeat(np.arange(len(first)), last - first)
    wanted = np.asarray(sequences.target)[flat]
    pairs = np.stack([rows[wanted], np.asarray(sequences.items)[flat[wanted]]], axis=1)
    rows, items = np.unique(pairs, axis=0).T
    return Baskets(Cases(user, first), rows, items)


def basket_scores(top: np.ndarray, baskets: Baskets) -> tuple[np.ndarray, np.ndarray]:
    """NDCG@k and recall@k of each basket, float [B] each.

    Args:
        top: int [B, k], the best items of each, 0 for none.
    """
    width = int(max(top.max(initial=0), baskets.items.max(initial=0))) + 1
    wanted = np.unique(baskets.rows * width + baskets.items)
    place = np.arange(len(top))[:, None] * width + top
    hits = np.isin(place, wanted) & (top > 0)
    size = np.bincount(baskets.rows, minlength=len(top))
    discount = 1 / np.log2(np.arange(2, top.shape[1] + 2))
    ideal = np.r_[0, discount.cumsum()][np.minimum(size, top.shape[1])]
    gain = hits @ discount
    return gain / np.maximum(ideal, 1e-12), hits.sum(axis=1) / np.maximum(size, 1)


def basket_rows(name: str, window: str, baskets: Baskets, top: np.ndarray) -> pd.DataFrame:
    """One row per basket: model, window, user, position, and `METRICS`."""
    ndcg, recall = basket_scores(top, baskets)
    return pd.DataFrame(
        {
            "model": pd.Series([name] * len(baskets), dtype="str"),
            "window": pd.Series([window] * len(baskets), dtype="str"),
            "user": baskets.cases.user.astype(np.int32),
            "position": baskets.cases.position.astype(np.int64),
            METRICS[0]: ndcg,
            METRICS[1]: recall,
        }
    )


def basket_figures(
    rows: pd.DataFrame, groups: dict[str, np.ndarray]
) -> dict[str, dict[str, float]]:
    """Both metrics by group, means over users, for groups that have baskets."""
    users = rows["user"].to_numpy()
    inside = {name: np.isin(users, members) for name, members in groups.items()}
    return {
        name: {m: mean_over_users(rows[m].to_numpy()[own], users[own]) for m in METRICS}
        for name, own in inside.items()
        if own.any()
    }
