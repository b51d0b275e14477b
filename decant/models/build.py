"""Settings and encoder → a model's shape."""

from decant.features.encode import GAP_SECONDS, Encoder
from decant.models.recommender import Architecture
from decant.params import Training

FEED_FORWARD = 4  # hidden units per dimension


def architecture(settings: Training, encoder: Encoder, text_width: int) -> Architecture:
    """The unpruned model these settings describe.

    An input that the data does not have (`text` without vectors, `attributes` without any,
    `rating` without ratings) is left out.
    """
    available = {
        "text": text_width > 0,
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
        inputs=tuple(name for name in settings.inputs if available.get(name, True)),
        behaviours=len(encoder.behaviours) + 1,
        ratings=len(encoder.rating_edges) + 2,
        gaps=len(GAP_SECONDS) + 2,
        attribute_sizes=tuple(a.size for a in encoder.attributes.values()),
        text_width=text_width,
        dropout=settings.dropout,
        objective=settings.objective,
    )
