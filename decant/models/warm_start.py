"""Initialise a model from another one, of a previous run or another shop.

Items are matched by id, else by the nearest text; all other weights are copied if name and shape
agree.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from decant.models import bundle
from decant.models.build import load_model
from decant.models.recommender import ItemVectors, Recommender

TEXT, ENCODER = "text", "text_encoder"
NEAR = 0.8  # minimum cosine of matching texts
ALIKE = 0.98  # minimum mean cosine of shared items' texts if both encoders are the same
CHUNK = 1024  # items compared at a time
TABLES = ("item.weight", "bias")  # a row for each item
RECENCY = ".attention.bias"  # [h, max_length], distance 0 last


class TransferError(ValueError):
    """The model to start from does not fit; the message has its path and the difference."""


@dataclass(frozen=True)
class Transferred:
    """Counts of items matched by id, by text, new; number of copied weights, names of others."""

    by_id: int
    by_text: int
    new: int
    weights: int
    left_out: tuple[str, ...]

    def summary(self) -> dict[str, object]:
        return {**asdict(self), "left_out": list(self.left_out)}

    def line(self) -> str:
        """The same as readable text."""
        rest = f", not {', '.join(self.left_out)}" if self.left_out else ""
        return (
            f"started from another teacher: {self.by_id:,} items by id, {self.by_text:,} by text, "
            f"{self.new:,} new; {self.weights} weights copied{rest}"
        )


def start_from(
    model: Recommender, folder: Path, items: tuple[str, ...], encoder: str | None = None
) -> Transferred:
    """Copy matching weights from the bundle in `folder` into `model`; `items` is its catalogue.

    Args:
        encoder: the encoder of our text vectors, if it can be shared with another catalogue.

    Raises:
        TransferError: the bundle is incomplete, has no weights or another dimension.
    """
    former, theirs = _load(folder)
    ours, old = model.architecture, former.architecture
    if ours.dimension != old.dimension:
        raise TransferError(
            f"teacher.warm_start: {folder} has dimension {old.dimension}, teacher.dimension is "
            f"{ours.dimension}: set it to {old.dimension}, or warm_start: null"
        )
    shared = by_id(items, theirs)
    same = encoder is not None and bundle.read_json(folder, bundle.METRICS).get(ENCODER) == encoder
    rotation = rotation_of(_text(model), _text(former), shared, same)
    place = shared if rotation is None else by_text(model, former, rotation, shared)
    weights, left_out = copy_weights(model, former, place)
    if rotation is not None:
        turn_projection(model, former, rotation)
    with_id, matched = int((shared > 0).sum()), int((place > 0).sum())
    return Transferred(with_id, matched - with_id, len(items) - matched, weights, left_out)


def by_id(items: tuple[str, ...], theirs: tuple[str, ...]) -> np.ndarray:
    """Their index of each of our items, int [N + 1]; 0 if they do not have it."""
    index = {item: n for n, item in enumerate(theirs, start=1)}
    return np.array([0, *(index.get(item, 0) for item in items)])


def rotation_of(
    ours: ItemVectors | None, theirs: ItemVectors | None, shared: np.ndarray, same: bool
) -> np.ndarray | None:
    """The rotation of our text vectors into their space, [W, W]; None if they are not comparable.

    The spaces are the same if the encoder is the `same`, or if shared items have nearly the same
    vectors, possibly after a rotation fitted on them (Schönemann 1966): the projection of hashed
    texts is fitted again in every run.
    """
    if ours is None or theirs is None or ours.vectors.shape[1] != theirs.vectors.shape[1]:
        return None
    if same:
        return np.eye(ours.vectors.shape[1], dtype=np.float32)
    both = np.flatnonzero(shared)
    return rotate(ours.vectors.cpu().numpy()[both], theirs.vectors.cpu().numpy()[shared[both]])


def rotate(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray | None:
    """The rotation [W, W] of our vectors [M, W] onto theirs; None if none aligns them."""
    nonzero = (np.abs(ours).sum(1) > 0) & (np.abs(theirs).sum(1) > 0)
    ours, theirs = ours[nonzero], theirs[nonzero]
    if not len(ours):
        return None
    if (ours * theirs).sum(1).mean() >= ALIKE:
        return np.eye(ours.shape[1], dtype=ours.dtype)
    if len(ours) <= ours.shape[1]:  # so few can always be aligned
        return None
    left, _, right = np.linalg.svd(ours.T @ theirs)
    rotation: np.ndarray = left @ right
    return rotation if ((ours @ rotation) * theirs).sum(1).mean() >= ALIKE else None


def by_text(
    model: Recommender, former: Recommender, rotation: np.ndarray, place: np.ndarray
) -> np.ndarray:
    """Complete `place`: match each item that they do not have to the one with the nearest text."""
    ours, theirs = _text(model), _text(former)
    assert ours is not None and theirs is not None
    known, place = theirs.vectors.cpu().numpy(), place.copy()
    unmatched = np.flatnonzero(place[1:] == 0) + 1
    for start in range(0, len(unmatched), CHUNK):
        rows = unmatched[start : start + CHUNK]
        cosine = ours.vectors.cpu().numpy()[rows] @ rotation @ known.T
        best = cosine.argmax(axis=1)
        near = cosine[np.arange(len(rows)), best] >= NEAR
        place[rows[near]] = best[near]
    return place


@torch.no_grad()
def copy_weights(
    model: Recommender, former: Recommender, place: np.ndarray
) -> tuple[int, tuple[str, ...]]:
    """Copy the rows of matched items and all weights with equal name and shape.

    Returns:
        The number of copied weights; the names of the others.
    """
    known, left_out, copied = dict(former.named_parameters()), [], 0
    rows = np.flatnonzero(place)
    for name, weight in model.named_parameters():
        source = known.get(name)
        if name in TABLES and source is not None:
            weight[rows] = source[torch.from_numpy(place[rows])].to(weight)
        elif source is not None and source.shape == weight.shape:
            weight.copy_(source)
        elif source is None or not _copy_recency(name, weight, source):
            left_out.append(name)
            continue
        copied += 1
    return copied, tuple(left_out)


@torch.no_grad()
def turn_projection(model: Recommender, former: Recommender, rotation: np.ndarray) -> None:
    """Rotate the copied text projection, so that it reads our vectors like theirs."""
    ours, theirs = _text(model), _text(former)
    assert ours is not None and theirs is not None
    source = theirs.projection.weight
    ours.projection.weight.copy_(source @ torch.from_numpy(rotation).to(source).T)


def _copy_recency(name: str, weight: Tensor, source: Tensor) -> bool:
    """Copy a bias by distance between different lengths: the distances that both have."""
    if not name.endswith(RECENCY) or source.shape[0] != weight.shape[0]:
        return False
    length = min(source.shape[1], weight.shape[1])
    weight[:, -length:] = source[:, -length:]
    return True


def _text(model: Recommender) -> ItemVectors | None:
    """A model's text vectors, None if it has none."""
    names = [name for name, _ in model.architecture.vector_widths]
    return cast(ItemVectors, model.vectors[names.index(TEXT)]) if TEXT in names else None


def _load(folder: Path) -> tuple[Recommender, tuple[str, ...]]:
    if not (folder / bundle.WEIGHTS).is_file():
        raise TransferError(
            f"teacher.warm_start: {folder} has no {bundle.WEIGHTS}: set it to the "
            "data/models/teacher of a run, or warm_start: null"
        )
    try:
        return load_model(folder), tuple(bundle.read_json(folder, bundle.ITEMS))
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        problem = " ".join(str(error).split())[:200]
        raise TransferError(f"teacher.warm_start: {folder} cannot be read: {problem}") from None
