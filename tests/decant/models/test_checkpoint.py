from pathlib import Path

import pytest
import torch

from decant.models import bundle
from decant.models.build import load_model, parameter_count, save_model
from decant.models.recommender import Architecture, Recommender

SHAPE = Architecture(
    items=5,
    dimension=8,
    heads=(1, 2),  # as pruning leaves them
    head_width=4,
    hidden=(3, 7),
    max_length=4,
    inputs=("item", "text"),
    vector_widths=(("text", 3),),
)


def test_weights_and_text_come_back(tmp_path: Path) -> None:
    model = Recommender(SHAPE, {"text": torch.randn(6, 3)})
    save_model(model, tmp_path, tuple("abcde"), {})
    bundle.seal(tmp_path)
    loaded = load_model(tmp_path)
    assert not loaded.training
    assert loaded.architecture == SHAPE
    for name, weight in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight), name


def test_an_unsealed_model_is_not_loaded(tmp_path: Path) -> None:
    save_model(Recommender(SHAPE), tmp_path, tuple("abcde"), {})
    with pytest.raises(bundle.BundleError, match="not a complete model"):
        load_model(tmp_path)


def test_weights_of_another_shape_are_not_loaded(tmp_path: Path) -> None:
    save_model(Recommender(SHAPE), tmp_path, tuple("abcde"), {})
    config = bundle.read_json(tmp_path, bundle.CONFIG)
    config["architecture"]["hidden"] = [3, 8]
    bundle.write_json(tmp_path / bundle.CONFIG, config)
    bundle.seal(tmp_path)
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_model(tmp_path)


def test_parameters_are_counted() -> None:
    assert parameter_count(torch.nn.Linear(3, 4)) == 16
