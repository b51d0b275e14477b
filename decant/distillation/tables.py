"""Pack tables of counts into the experts of a model: listed successors and factors of the rest.

Shapes: N items, K tables, L listed successors, R factors.
"""

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import svds
from torch import Tensor

from decant.evaluation.baselines.mixture import Counts
from decant.models.cold_start import RARE
from decant.models.experts import CODES, LEVELS, Experts

TOP_LEVEL = 255  # a probability of 1
DENSE = 600  # items up to which all factors are computed


def pack(experts: Experts, counts: Counts, trained: np.ndarray) -> None:
    """Store counts in the experts of a model, in place.

    What the lists leave out is kept as factors: many weak successors together can decide.

    Args:
        trained: training events of each item, float [N + 1].
    """
    shape, items = experts.shape, experts.items
    experts.popular.copy_(torch.from_numpy(level(popularity(counts.popularity, trained))))
    if not shape.tables:
        return
    tables, rests = len(shape.tables), []
    stored = np.zeros((items + 1, tables, shape.successors + 1), dtype=np.int64)
    places = np.zeros((items + 1, tables, shape.successors), dtype=np.int64)
    for number, name in enumerate(shape.tables):
        listed, successors, rest = split_listed(getattr(counts, name), shape.successors)
        stored[:, number, :-1], places[:, number] = listed, successors + number * (items + 1)
        rests.append(rest)
    if shape.factors:
        left, right = factors(rests, experts.popularity().double().numpy(), shape.factors)
        stored[:, :, -1], codes = coded(left)
        step = np.abs(right).max(axis=1, keepdims=True) / CODES
        step[step == 0] = 1
        _copy(experts.left, codes)
        _copy(experts.step, step)
        _copy(experts.right, np.round(right / step))
    _copy(experts.levels, stored)
    _copy(experts.places, places)


def _copy(buffer: Tensor, values: np.ndarray) -> None:
    """Store values of each item, of all tables one after another."""
    buffer.copy_(torch.from_numpy(values).reshape(buffer.shape))


def popularity(shares: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """Shares of all items, float [N + 1]; one without events gets what the rarest others have."""
    known = np.flatnonzero(trained[1:]) + 1
    popular = shares.copy()
    if 0 < len(known) < len(trained) - 1:
        rarest = known[np.argsort(trained[known], kind="stable")][
            : max(1, round(RARE * len(known)))
        ]
        unseen = trained == 0
        unseen[0] = False
        popular[unseen] = shares[rarest].mean()
    return np.asarray(popular / popular.sum())


def split_listed(
    table: sparse.csr_array, kept: int
) -> tuple[np.ndarray, np.ndarray, sparse.csr_array]:
    """The `kept` most probable successors of each item, and the table without them.

    Returns:
        Levels int [N + 1, L], 0 where there is none; their items int [N + 1, L]; the rest.
    """
    levels = np.zeros((table.shape[0], kept), dtype=np.int64)
    successors = np.zeros_like(levels)
    rest = table.copy()
    for row in np.flatnonzero(np.diff(table.indptr)):
        inside = slice(table.indptr[row], table.indptr[row + 1])
        shares, columns = table.data[inside], table.indices[inside]
        best = np.lexsort((columns, -shares))[:kept]
        stored = level(shares[best])
        levels[row, : len(best)], successors[row, : len(best)] = stored, columns[best]
        rest.data[inside.start + best[stored > 0]] = 0
    rest.eliminate_zeros()
    return levels, successors, rest


def level(shares: np.ndarray) -> np.ndarray:
    """Probabilities as the nearest of 255 levels, int; 0: too small."""
    with np.errstate(divide="ignore"):
        nearest = np.round(TOP_LEVEL + LEVELS * np.log2(shares))
    return np.asarray(np.clip(nearest, 0, TOP_LEVEL), dtype=np.int64)


def factors(
    tables: list[sparse.csr_array], popular: np.ndarray, rank: int
) -> tuple[np.ndarray, np.ndarray]:
    """Low-rank factors of all tables together: left float [N + 1, K, R], right float [R, N + 1], of
    which each column is still to be multiplied with the root of the item's popularity.

    A truncated singular value decomposition of √popular(a) · p(b | a) / √popular(b), in which
    frequent items do not crowd out the others.
    """
    size = len(popular)
    root = np.sqrt(popular)
    scaled = [sparse.diags_array(root) @ t @ sparse.diags_array(1 / root) for t in tables]
    stacked = sparse.csr_array(sparse.vstack(scaled))
    if size <= max(DENSE, rank + 1):
        u, s, v = np.linalg.svd(stacked.toarray(), full_matrices=False)
    else:
        u, s, v = svds(stacked, k=rank, v0=np.ones(size) / np.sqrt(size))
        order = np.argsort(-s)
        u, s, v = u[:, order], s[order], v[order]
    left, right = np.zeros((len(tables) * size, rank)), np.zeros((rank, size))
    taken = min(rank, len(s))
    sign = np.sign(v[np.arange(len(v)), np.abs(v).argmax(axis=1)])[:taken]
    left[:, :taken] = u[:, :taken] * (np.sqrt(s[:taken]) * sign)
    right[:taken] = v[:taken] * (np.sqrt(s[:taken]) * sign)[:, None]
    by_table = left.reshape(len(tables), size, rank).transpose(1, 0, 2) / root[:, None, None]
    largest = np.abs(by_table).max(initial=0) or 1.0  # stored factors are at most 1
    right = right * largest
    right[:, 0] = 0  # padding follows nothing
    return by_table / largest, right


def coded(left: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Factors [..., R], at most 1 → the level of each row's scale, int [...]; codes [..., R]."""
    largest = np.abs(left).max(axis=-1)
    with np.errstate(divide="ignore"):
        scale = np.maximum(np.ceil(TOP_LEVEL + LEVELS * np.log2(largest)), 0)
    step = 2 ** ((scale - TOP_LEVEL) / LEVELS) / CODES
    codes = np.clip(np.round(left / step[..., None]), -CODES, CODES)
    return scale.astype(np.int64), codes.astype(np.int64)
