"""Bundles of torch models: written with weights, rebuilt from them."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from decant.models import bundle
from decant.models.recommender import Architecture, Recommender


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
