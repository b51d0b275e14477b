"""Cost of a request in multiply-adds."""

from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from decant.models import bundle
from decant.models.recommender import Architecture, Recommender


def multiply_adds(a: Architecture) -> int:
    """Multiply-adds of all matrix products of one request with the longest history that the model
    reads, including the scores of the whole catalogue.

    Projections of content vectors are excluded: they are computed once, on export.
    """
    with torch.device("meta"):
        model = Recommender(a).eval()
        batch = {name: torch.zeros(1, a.max_length, dtype=torch.int64) for name in a.request_inputs}
        batch["attributes"] = torch.zeros(1, len(a.attribute_sizes), dtype=torch.int64)
        table = model.item_embeddings()  # outside: served models have it ready
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            scores = model.scores(model.encode(batch, table, last=True)[:, 0], table)
            model.with_experts(scores, batch)
    return int(counter.get_total_flops()) // 2


def multiply_adds_of(folder: Path) -> int:
    """The same for a bundle's model."""
    config = bundle.read_json(folder, bundle.CONFIG)
    return multiply_adds(Architecture.from_dict(config["architecture"]))
