"""Build models from settings; save and load their bundles."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save

from decant.features.encode import GAP_SECONDS, Encoder
from decant.models import bundle
from decant.models.experts import BASKET, ExpertShape
from decant.models.recommender import MASKED, Architecture, Recommender
from decant.params.models import Distill, Training
from decant.params.types import EXPERTS, INPUTS, REPEATS

FEED_FORWARD = 4  # hidden units per dimension


def missing_inputs(
    settings: Training, encoder: Encoder, vectors: Mapping[str, np.ndarray] | None
) -> dict[str, str]:
    """Configured inputs that the data does not have → the reason."""
    given = vectors or {}
    reasons = {
        "text": None if "text" in given else "embed.encoder is none",
        "behaviour": None if len(encoder.behaviours) > 1 else "all events have one behaviour",
        "rating": None if encoder.rating_edges else "there are no ratings, or all are equal",
        "gap": None if encoder.gaps else "there are no times, or all gaps are alike",
        "clock": no_clock(settings, encoder),
        "attributes": None if encoder.attributes else "features.attributes is empty",
    }
    for name in settings.inputs:
        if name not in INPUTS and name not in given:
            reasons[name] = f"the items have no vectors named {name}"
    return {name: why for name in settings.inputs if (why := reasons.get(name)) is not None}


def no_clock(settings: Training, encoder: Encoder) -> str | None:
    """Why a network cannot read the clock, None if it can."""
    if not encoder.gaps:
        return "there are no times, or all gaps are alike"
    return "a masked model hides events in the middle" if settings.objective == MASKED else None


def architecture(
    settings: Training, encoder: Encoder, vectors: Mapping[str, np.ndarray] | None
) -> Architecture:
    """The shape of the unpruned model; `vectors`: content vectors of the items, by name.

    Inputs that the data does not have are left out, see `missing_inputs`.
    """
    given, missing = vectors or {}, missing_inputs(settings, encoder, vectors)
    return Architecture(
        items=len(encoder.items),
        dimension=settings.dimension,
        heads=(settings.heads,) * settings.layers,
        head_width=settings.dimension // settings.heads,
        hidden=(FEED_FORWARD * settings.dimension,) * settings.layers,
        max_length=history_read(settings, encoder),
        inputs=tuple(name for name in settings.inputs if name not in missing),
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


def missing_experts(settings: Training, encoder: Encoder) -> dict[str, str]:
    """Configured experts that would know nothing of this data → the reason."""
    reasons = {} if encoder.baskets else {BASKET: "features.baskets is false"}
    if encoder.exclude_seen:
        reasons |= dict.fromkeys(REPEATS, "features.exclude_seen leaves out what was taken before")
    return {name: reasons[name] for name in settings.experts if name in reasons}


def expert_shape(settings: Training, encoder: Encoder) -> ExpertShape:
    """The experts of a model; those that would know nothing are left out, see `missing_experts`."""
    missing, items = missing_experts(settings, encoder), len(encoder.items)
    return ExpertShape(
        names=tuple(n for n in EXPERTS if n in settings.experts and n not in missing),
        successors=min(settings.successors, items),
        factors=min(settings.factors, items),
        clock=encoder.gaps,
    )


def history_read(settings: Training, encoder: Encoder) -> int:
    """Number of newest events of a history that a model with these settings reads."""
    own = settings.max_length if isinstance(settings, Distill) else None
    return encoder.max_length if own is None else min(own, encoder.max_length)


def save_model(
    model: Recommender, folder: Path, items: tuple[str, ...], metrics: dict[str, Any]
) -> None:
    """Write an open bundle: everything but the graph and the manifest (see `bundle.seal`)."""
    config = {"architecture": model.architecture.to_dict()}
    bundle.write_text_files(folder, config, items, metrics)
    weights = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    # as bytes: a full disk then raises an OSError with a one-line message
    (folder / bundle.WEIGHTS).write_bytes(save(weights))


def load_model(folder: Path) -> Recommender:
    """Rebuild a model from its bundle; never reads a pickle.

    Raises:
        BundleError: the bundle is incomplete or modified.
    """
    bundle.check(folder)
    shape = Architecture.from_dict(bundle.read_json(folder, bundle.CONFIG)["architecture"])
    model = Recommender(shape)
    model.load_state_dict(load_file(folder / bundle.WEIGHTS))
    return model.eval()


def parameter_count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
