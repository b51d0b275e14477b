"""Settings and encoder → a model's shape."""

from collections.abc import Mapping

import numpy as np

from decant.features.encode import GAP_SECONDS, Encoder
from decant.models.recommender import Architecture
from decant.params import INPUTS, Training

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
        max_length=encoder.max_length,
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
