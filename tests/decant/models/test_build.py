from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from decant.features.encode import GAP_SECONDS, Attribute, Encoder
from decant.models.build import architecture, expert_shape, missing_experts, missing_inputs
from decant.params.models import Training
from decant.params.types import EXPERTS

EVERYTHING = Training(
    dimension=16,
    heads=4,
    layers=3,
    inputs=["item", "text", "behaviour", "rating", "gap", "attributes"],
)
VECTORS = {"text": np.ones((10, 7)), "sound": np.ones((10, 3))}


@pytest.fixture
def rich(make_encoder: Callable[..., Encoder]) -> Encoder:
    attributes = {"age": Attribute(edges=(30.0, 50.0)), "gender": Attribute(values=("F", "M"))}
    return make_encoder(
        9, 5, behaviours=("view", "cart"), attributes=attributes, rating_edges=(2.0, 3.0)
    )


def test_settings_and_encoder_fix_every_size(rich: Encoder) -> None:
    shape = architecture(EVERYTHING, rich, VECTORS)
    assert (shape.items, shape.max_length, shape.vector_widths) == (9, 5, (("text", 7),))
    assert (shape.dimension, shape.heads, shape.head_width) == (16, (4, 4, 4), 4)
    assert shape.hidden == (64, 64, 64)
    assert (shape.behaviours, shape.ratings, shape.gaps) == (3, 4, len(GAP_SECONDS) + 2)
    assert shape.attribute_sizes == (4, 3)
    assert shape.inputs == tuple(EVERYTHING.inputs)


def test_inputs_that_the_data_does_not_have_are_left_out(
    make_encoder: Callable[..., Encoder],
) -> None:
    assert architecture(EVERYTHING, make_encoder(9, 5), {}).inputs == ("item", "gap")
    assert architecture(EVERYTHING, make_encoder(9, 5, gaps=False), {}).inputs == ("item",)


def test_each_input_that_is_left_out_has_a_reason(
    make_encoder: Callable[..., Encoder], rich: Encoder
) -> None:
    wanted = EVERYTHING.model_copy(update={"inputs": [*EVERYTHING.inputs, "image", "sound"]})
    assert missing_inputs(wanted, make_encoder(9, 5, gaps=False), VECTORS) == {
        "behaviour": "all events have one behaviour",
        "rating": "there are no ratings, or all are equal",
        "gap": "there are no times, or all gaps are alike",
        "attributes": "features.attributes is empty",
        "image": "the items have no vectors named image",
    }
    assert missing_inputs(EVERYTHING, rich, None) == {"text": "embed.encoder is none"}
    assert missing_inputs(EVERYTHING, rich, VECTORS) == {}


def test_experts_that_would_know_nothing_are_left_out_with_a_reason(
    make_encoder: Callable[..., Encoder],
) -> None:
    wanted = EVERYTHING.model_copy(update={"experts": list(EXPERTS)})
    encoder = replace(make_encoder(9, 5), exclude_seen=True)
    assert missing_experts(wanted, encoder) == {
        "basket": "features.baskets is false",
        "recency": "features.exclude_seen leaves out what was taken before",
        "frequency": "features.exclude_seen leaves out what was taken before",
    }
    assert expert_shape(wanted, encoder).names == ("chain", "previous", "together", "popularity")


def test_inputs_that_are_not_wanted_are_not_read(rich: Encoder) -> None:
    wanted = EVERYTHING.model_copy(update={"inputs": ["item", "rating"]})
    assert architecture(wanted, rich, VECTORS).event_inputs == ("items", "ratings")
