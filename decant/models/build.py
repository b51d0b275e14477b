"""A model from settings, and from a bundle: its shape, its weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save

from decant.features.encode import GAP_SECONDS, Encoder
from decant.models import bundle
from decant.models.recommender import Architecture, Recommender
from decant.params.models import Distill, Training
from decant.params.types import INPUTS

FEED_FORWARD = 4  # hidden units per dimension


def architecture(
    settings: Training, encoder: Encoder, vectors: Mapping[str, np.ndarray] | None
) -> Architecture:
    """The unpruned model these settings describe; `vectors`: given ones of the items, by name.

    An input that the data does not have (`text` or `image` without vectors, `attributes` or
    `rating` without any) is left out.
    """
    given = vectors or {}
    available = {
        "text": "text" in given,
        "attributes": bool(encoder.attributes),
        "rating": bool(encoder.rating_edges),
        "behaviour": len(encoder.behaviours) > 1,
    }
    return Architecture(
        items=len(encoder.items),
        dimension=settings.dimension,
        heads=(settings.heads,) * settings.layers,
        head_width=settings.dimension // settings.heads,
        hidden=(FEED_FORWARD * settings.dimension,) * settings.layers,
        max_length=history_read(settings, encoder),
        inputs=tuple(
            name for name in settings.inputs if available.get(name, name in INPUTS or name in given)
        ),
        behaviours=len(encoder.behaviours) + 1,
        ratings=len(encoder.rating_edges) + 2,
        gaps=len(GAP_SECONDS) + 2,
        attribute_sizes=tuple(a.size for a in encoder.attributes.values()),
        vector_widths=tuple(
            (name, given[name].shape[1]) for name in settings.inputs if name in given
        ),
        dropout=settings.dropout,
        objective=settings.objective,
        id_dropout=settings.id_dropout,
    )


def history_read(settings: Training, encoder: Encoder) -> int:
    """Events of a history that a model with these settings reads, the newest."""
    own = settings.max_length if isinstance(settings, Distill) else None
    return encoder.max_length if own is None else min(own, encoder.max_length)


def save_model(
    model: Recommender, folder: Path, items: tuple[str, ...], metrics: dict[str, Any]
) -> None:
    """Write an open bundle: everything but the graph and the manifest (see `bundle.seal`)."""
    config = {"architecture": model.architecture.to_dict()}
    bundle.write_text_files(folder, config, items, metrics)
    weights = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    # as bytes: a disk that is full is then an OSError, which says so in one line
    (folder / bundle.WEIGHTS).write_bytes(save(weights))


def load_model(folder: Path) -> Recommender:
    """Rebuild a model from its bundle; never reads a pickle.

    Raises:
        BundleError: the bundle is incomplete or was changed.
    """
    bundle.check(folder)
    shape = Architecture.from_dict(bundle.read_json(folder, bundle.CONFIG)["architecture"])
    model = Recommender(shape)
    model.load_state_dict(load_file(folder / bundle.WEIGHTS))
    return model.eval()


def parameter_count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
