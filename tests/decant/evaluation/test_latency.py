from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from decant.evaluation import latency
from decant.evaluation.latency import REPEATS, WARM_UP, interleaved_latency
from decant.features.encode import Encoder
from decant.features.sequences import TEST, Sequences, cases


class Clock:
    """A clock that only models move: nothing here waits, or depends on the machine."""

    def __init__(self) -> None:
        self.now = 0

    def perf_counter_ns(self) -> int:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(latency, "time", clock)
    return clock


class Graph:
    """Takes `microseconds`, or what is next in them, and keeps what it was asked in `order`."""

    def __init__(self, clock: Clock, name: str, microseconds: list[int], order: list[Any]) -> None:
        self.clock, self.name, self.microseconds, self.order = clock, name, microseconds, order
        self.asked = 0

    def scores(self, batch: dict[str, np.ndarray]) -> None:
        self.order.append((self.name, batch["items"].tolist()))
        self.clock.now += 1000 * self.microseconds[self.asked % len(self.microseconds)]
        self.asked += 1


def measure(
    clock: Clock,
    make_sequences: Callable[..., Sequences],
    make_encoder: Callable[..., Encoder],
    fast: list[int],
) -> tuple[dict[str, dict[str, float]], list[Any]]:
    order: list[Any] = []
    models: Any = {
        "fast": Graph(clock, "fast", fast, order),
        "slow": Graph(clock, "slow", [900], order),
    }
    sequences = make_sequences([[1, 2, 3, 4, 5], [3, 4]])
    result = interleaved_latency(
        models, sequences, cases(sequences, TEST, 4), make_encoder(5, 3), 20, 1
    )
    return result, order


def test_each_model_has_its_own_time(
    clock: Clock,
    make_sequences: Callable[..., Sequences],
    make_encoder: Callable[..., Encoder],
) -> None:
    result, _ = measure(clock, make_sequences, make_encoder, [200])
    assert result == {"fast": {"p50": 200, "p95": 200}, "slow": {"p50": 900, "p95": 900}}


def test_the_fastest_of_the_repeats_counts_and_warming_up_does_not(
    clock: Clock,
    make_sequences: Callable[..., Sequences],
    make_encoder: Callable[..., Encoder],
) -> None:
    interrupted = [200, *[5000] * (REPEATS - 1)]
    times = [*[7000] * (WARM_UP * REPEATS), *interrupted * 20]
    result, _ = measure(clock, make_sequences, make_encoder, times)
    assert result["fast"] == {"p50": 200, "p95": 200}


def test_a_request_that_is_slow_each_time_is_seen(
    clock: Clock,
    make_sequences: Callable[..., Sequences],
    make_encoder: Callable[..., Encoder],
) -> None:
    times = [*[200] * ((WARM_UP + 17) * REPEATS), *[5000] * (3 * REPEATS)]
    result, _ = measure(clock, make_sequences, make_encoder, times)
    assert result["fast"]["p50"] == 200 and result["fast"]["p95"] == 5000


def test_every_request_goes_to_all_models_in_turn(
    clock: Clock,
    make_sequences: Callable[..., Sequences],
    make_encoder: Callable[..., Encoder],
) -> None:
    _, order = measure(clock, make_sequences, make_encoder, [200])
    assert [name for name, _ in order] == ["fast", "slow"] * (20 + WARM_UP) * REPEATS
    assert [items for name, items in order if name == "fast"] == [
        items for name, items in order if name == "slow"
    ]


def test_requests_are_single_and_without_padding(
    clock: Clock,
    make_sequences: Callable[..., Sequences],
    make_encoder: Callable[..., Encoder],
) -> None:
    _, order = measure(clock, make_sequences, make_encoder, [200])
    asked = {str(items) for _, items in order}
    assert asked == {"[[2, 3, 4]]", "[[3]]"}
