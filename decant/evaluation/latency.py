"""Latency of single requests: one thread, all models in turn for each request."""

import math
import time

import numpy as np

from decant.features.encode import INPUTS, MOMENT, Encoder
from decant.features.sequences import Cases, Sequences, histories
from decant.runtime.session import Model

WARM_UP = 10
REPEATS = 3  # of each request; the fastest counts, as the least disturbed by other load
QUANTILES = (("p50", 0.5), ("p95", 0.95))


def interleaved_latency(
    models: dict[str, Model],
    sequences: Sequences,
    chosen: Cases,
    encoder: Encoder,
    requests: int,
    seed: int,
) -> dict[str, dict[str, float]]:
    """Time `requests` single requests, drawn from `chosen`, on every model in turn.

    Interleaved, so that other load on the machine affects all models alike: compare ratios.

    Returns:
        `p50` and `p95` per model, microseconds, over the fastest of `REPEATS` of each request.
    """
    rng = np.random.default_rng(seed)
    drawn = chosen.take(rng.integers(0, len(chosen), requests + WARM_UP))
    inputs = (*INPUTS, *MOMENT)
    taken: dict[str, list[float]] = {name: [] for name in models}
    for case in range(len(drawn)):
        one = drawn.take(np.array([case]))
        history = int(one.position[0] - sequences.offsets[one.user[0]])
        batch = histories(sequences, one, inputs, min(history, encoder.max_length))
        fastest = dict.fromkeys(models, math.inf)
        for _ in range(REPEATS):
            for name, model in models.items():
                begin = time.perf_counter_ns()
                model.scores(batch)
                fastest[name] = min(fastest[name], (time.perf_counter_ns() - begin) / 1000)
        for name, fast in fastest.items():
            taken[name].append(fast)
    return {
        name: {p: round(float(np.quantile(times[WARM_UP:], q)), 1) for p, q in QUANTILES}
        for name, times in taken.items()
    }
