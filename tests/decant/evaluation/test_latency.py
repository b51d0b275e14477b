import time
from collections.abc import Callable
from typing import Any

import numpy as np

from decant.evaluation.latency import WARM_UP, interleaved_latency
from decant.features.encode import Encoder
from decant.features.sequences import TEST, Sequences, cases


class Slow:
    """A graph that takes a while and keeps what it was asked, in `order`."""

    def __init__(self, name: str, seconds: float, order: list[Any]) -> None:
        self.name, self.seconds, self.order = name, seconds, order

    def scores(self, batch: dict[str, np.ndarray]) -> None:
        self.order.append((self.name, batch["items"].tolist()))
        time.sleep(self.seconds)


def measure(
    make_sequences: Callable[..., Sequences], make_encoder: Callable[..., Encoder]
) -> tuple[dict[str, dict[str, float]], list[Any]]:
    order: list[Any] = []
    models: Any = {"fast": Slow("fast", 0.0, order), "slow": Slow("slow", 0.002, order)}
    sequences = make_sequences([[1, 2, 3, 4, 5], [3, 4]])
    found = interleaved_latency(
        models, sequences, cases(sequences, TEST, 4), make_encoder(5, 3), 20, 1
    )
    return found, order


def test_a_slower_model_takes_longer(
    make_sequences: Callable[..., Sequences], make_encoder: Callable[..., Encoder]
) -> None:
    found, _ = measure(make_sequences, make_encoder)
    assert found["slow"]["p50"] > 1900 > 500 > found["fast"]["p50"] > 0
    assert all(model["p95"] >= model["p50"] for model in found.values())


def test_every_request_goes_to_all_models_in_turn(
    make_sequences: Callable[..., Sequences], make_encoder: Callable[..., Encoder]
) -> None:
    _, order = measure(make_sequences, make_encoder)
    assert [name for name, _ in order] == ["fast", "slow"] * (20 + WARM_UP)
    assert [items for name, items in order if name == "fast"] == [
        items for name, items in order if name == "slow"
    ]


def test_requests_are_single_and_without_padding(
    make_sequences: Callable[..., Sequences], make_encoder: Callable[..., Encoder]
) -> None:
    _, order = measure(make_sequences, make_encoder)
    asked = {str(items) for _, items in order}
    assert asked == {"[[2, 3, 4]]", "[[3]]"}
