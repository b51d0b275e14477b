"""Ask one model for recommendations, without a release."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch

from decant.features.encode import Events, tidy
from decant.features.values import attribute_value, identifier
from decant.frames import Data
from decant.models import bundle
from decant.models.recommender import Recommender
from decant.runtime.engine import encode_request
from decant.runtime.ranking import top_items
from decant.runtime.session import Model
from decant.training.validate import to_tensors

SHOWN = 10  # names in one warning
AnyModel = Recommender | Path | str  # a trained model, or the folder of a bundle


def recommend(
    data: Data,
    model: AnyModel,
    history: Sequence[Any],
    user: Mapping[str, Any] | None = None,
    k: int = 10,
) -> list[str]:
    """The k best items for a history of items, oldest first.

    Unknown items, attributes and values are left out, with a warning that names them.

    Args:
        user: raw attributes, such as `{"age": 28}`.

    Raises:
        ValueError: k is not from 1 to the catalogue's size.
        TypeError: the history or the user has another type.
    """
    encoder = data.encoder
    if isinstance(history, str) or not isinstance(history, Iterable):
        raise TypeError("history is a list of items, oldest first; it may be empty")
    if user is not None and not isinstance(user, Mapping):
        raise TypeError("user is a mapping from attributes to values, such as {'age': 28}")
    if not isinstance(k, Integral) or not 1 <= k <= len(encoder.items):
        raise ValueError(f"k is {k}; it must be a whole number from 1 to {len(encoder.items)}")
    history = list(history)  # it may be an iterator
    indices = {item: encoder.item_index.get(identifier(item) or "", 0) for item in history}
    values = {n: attribute_value(v, encoder.missing) for n, v in (user or {}).items()}
    _warn_of_unknown("items", [item for item, index in indices.items() if not index])
    _warn_of_unknown("attributes", [name for name in values if name not in encoder.attributes])
    _warn_of_unknown(
        "values",
        [
            f"{name} {user[name]!r}"  # type: ignore[index]
            for name, value in values.items()
            if name in encoder.attributes and value and not encoder.attributes[name].index(value)
        ],
    )
    items = np.array([indices[item] for item in history if indices[item]], dtype=np.int64)
    size = len(items)
    events = Events(
        users=np.zeros(size, np.int64),
        items=items,
        behaviours=np.ones(size, np.int64),
        times=np.full(size, np.nan),
        ratings=np.full(size, np.nan),
    )
    batch = encode_request(encoder, values, tidy(encoder, events))
    if isinstance(model, Recommender):
        with torch.inference_mode():
            device = next(model.parameters()).device
            scores = model.eval()(to_tensors(batch, device)).cpu().numpy()
    else:
        scores = open_graph(model).scores(batch)
    masked = np.zeros(scores.shape, dtype=bool)
    masked[0, 0] = True
    if encoder.exclude_seen:
        masked[0, items] = True
    best = top_items(scores, masked, int(k))[0]
    return [encoder.items[item - 1] for item in best if item]


def open_graph(folder: Path | str) -> Model:
    """The graph of a bundle.

    Raises:
        BundleError: the folder is not a complete bundle.
        TypeError: it is not a folder either.
    """
    if not isinstance(folder, str | Path):
        raise TypeError(f"a model or the folder of a bundle is needed, got {type(folder).__name__}")
    bundle.check(Path(folder))
    return Model(Path(folder) / bundle.GRAPH)


def _warn_of_unknown(what: str, names: Sequence[Any]) -> None:
    if names:
        listed = ", ".join(map(str, names[:SHOWN]))
        warnings.warn(f"unknown {what} are left out: {listed}", stacklevel=3)
