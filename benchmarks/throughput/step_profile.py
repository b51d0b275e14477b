"""Training speed and profile of a step; started by `decant bench training`.

In a workspace with features:
`python -m benchmarks.throughput.step_profile SETTINGS SECONDS [--parts]` measures the speed,
`… SETTINGS STEPS --rank` trains that many steps and ranks. SETTINGS: a file of `teacher` settings
as JSON. Prints one JSON document.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from decant.distillation.fit import new_model
from decant.evaluation.scoring import rank as rank_cases
from decant.features.encode import Encoder
from decant.features.sequences import VALIDATION, Sequences, cases
from decant.models.build import parameter_count
from decant.models.recommender import Architecture
from decant.params.load import load_params
from decant.params.models import Teacher
from decant.training.batches import Windows, shuffled_batches
from decant.training.device import PROBE, TRIES, arithmetic, seconds
from decant.training.objective import Batch
from decant.training.optimizer import make_schedule
from decant.training.softmax import chunked
from decant.training.state import Report, TrainState, make_state
from decant.training.step import CLIP, prepare_batch, take_step
from decant.training.supervision import Material, supervise
from decant.training.validate import K, TorchScorer
from tasks.runner.training_record import training_record

WARM_UP = 10  # steps that are not timed
PARTS = ("cut", "states", "loss", "backward", "update")
BACKWARD = 3  # products of a step ÷ those of its forward pass


def new_state(data: Material, settings: Teacher, seed: int, epochs: int) -> TrainState:
    """A model with its train state."""
    torch.set_num_threads(settings.threads)
    model = new_model(data, settings, seed)
    state = make_state(
        model, data.sequences, supervise(data, settings), settings, epochs,
        settings.learning_rate, seed,
    )  # fmt: skip
    model.train()
    return state


def batches(state: TrainState) -> Iterator[Windows]:
    """Endless batches, epoch after epoch."""
    rng = np.random.default_rng(state.seed)
    while True:
        yield from shuffled_batches(state.supervision.windows(rng), state.settings.batch_size, rng)


def rate(state: TrainState, limit: float) -> dict[str, Any]:
    """Train for `limit` seconds; return events, seconds and GFLOP/s without the warm-up."""
    events, products, began = 0, 0.0, 0.0
    start = time.perf_counter()
    for step, windows in zip(count(), batches(state), strict=False):
        if step == WARM_UP:
            events, products, began = 0, 0.0, time.perf_counter()
        predicted = take_step(state, windows, (state.seed, 0, step))[1]
        events += predicted
        products += products_of(state.model.architecture, windows, predicted)
        if step > WARM_UP and time.perf_counter() - start >= limit:
            break
    taken = time.perf_counter() - began
    return {
        "events": events, "seconds": taken, "gflops": products / taken / 1e9,
        "steps": step - WARM_UP + 1,
    }  # fmt: skip


def products_of(a: Architecture, windows: Windows, predicted: int) -> float:
    """Floating-point operations of the matrix products of one step, without padding."""
    lengths = windows.stop - windows.first - 1
    widths = [heads * a.head_width for heads in a.heads]
    each = sum(2 * a.dimension * (4 * w + 2 * f) for w, f in zip(widths, a.hidden, strict=True))
    pairs = sum(4 * w for w in widths) * float((lengths.astype(float) ** 2).sum())
    return BACKWARD * (
        float(lengths.sum()) * each + pairs + 2.0 * predicted * (a.items + 1) * a.dimension
    )


def peak(kind: torch.dtype) -> float:
    """Peak speed of matrix products with shapes as in training, GFLOP/s."""
    rows, inner, columns = PROBE
    a, b = torch.ones(rows, inner, dtype=kind), torch.ones(inner, columns, dtype=kind)
    fastest = min(seconds(lambda: a @ b) for _ in range(10 * TRIES))
    return 2 * rows * inner * columns / fastest / 1e9


def shares(state: TrainState, steps: int) -> dict[str, float]:
    """Shares of the parts of a step in its time."""
    spent = dict.fromkeys(PARTS, 0.0)
    rng = np.random.default_rng(0)
    for step, windows in zip(range(WARM_UP + steps), batches(state), strict=False):
        marks = [time.perf_counter()]
        batch = prepare_batch(
            state.sequences, windows, state.supervision, state.model, state.fabric.device,
            settings=state.settings, likely=state.likely, rng=rng,
        )  # fmt: skip
        marks.append(time.perf_counter())
        loss, states = loss_of(state, batch)
        marks += [states, time.perf_counter()]
        state.optimizer.zero_grad()
        state.fabric.backward(loss)
        marks.append(time.perf_counter())
        nn.utils.clip_grad_norm_(state.model.parameters(), CLIP)
        state.optimizer.step()
        marks.append(time.perf_counter())
        if step >= WARM_UP:
            for part, begin, end in zip(PARTS, marks[:-1], marks[1:], strict=True):
                spent[part] += end - begin
    whole = sum(spent.values())
    return {part: taken / whole for part, taken in spent.items()}


def loss_of(state: TrainState, batch: Batch) -> tuple[torch.Tensor, float]:
    """A step's loss, and the time at which its states were computed."""
    model = state.model
    with state.fabric.autocast():
        table = model.item_embeddings()
        encoded = model.encode(batch.inputs, table).flatten(0, 1)
        states = encoded.index_select(0, batch.places).float()
        then = time.perf_counter()
        loss = chunked(
            lambda scores, rows: nn.functional.cross_entropy(
                scores, batch.targets[rows], reduction="sum"
            ),
            states, table, model.bias,
        )  # fmt: skip
    return loss / batch.predictions, then


def equal_steps(data: Material, settings: Teacher, seed: int, steps: int) -> dict[str, Any]:
    """Take `steps` optimizer steps, the whole schedule, and rank the validation cases.

    The last weights are ranked: nothing is chosen on validation.
    """
    state = new_state(data, settings, seed, 1)
    state = replace(state, schedule=make_schedule(state.optimizer.optimizer, steps))
    events, start = 0, time.perf_counter()
    for step, windows in zip(range(steps), batches(state), strict=False):
        events += take_step(state, windows, (seed, 0, step))[1]
    taken = time.perf_counter() - start
    report = Report(events=events, arithmetic=arithmetic(settings, state.fabric), seconds=taken)
    chosen = cases(data.sequences, VALIDATION, data.cases_per_user)
    ranking = rank_cases(
        TorchScorer(state.model.cpu().eval()), data.sequences, chosen, len(data.encoder.items),
        k=K, exclude_seen=data.encoder.exclude_seen,
    )  # fmt: skip
    return {
        "steps": steps, "trained": taken, "events": events, "ranks": ranking.ranks.tolist(),
        "parameters": parameter_count(state.model), "record": training_record(Path(), [report]),
    }  # fmt: skip


def read_material(root: Path) -> Material:
    """What a teacher learns from, as the stages up to `embed` have made it."""
    features, params = root / "data" / "features", load_params(root / "params.yaml")
    files = sorted((root / "data" / "vectors").glob("*.npy"))
    return Material(
        Encoder.load(features / "encoder.json"),
        Sequences.load(features / "sequences"),
        {path.stem: np.load(path, allow_pickle=False) for path in files},
        None,
        params.split.cases_per_user,
    )


def main() -> None:
    """Command-line entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", type=Path)
    parser.add_argument("amount", type=float, help="seconds to measure, or steps with --rank")
    parser.add_argument("--rank", action="store_true", help="train that many steps and rank")
    parser.add_argument("--parts", action="store_true", help="profile a step")
    arguments = parser.parse_args()
    given = json.loads(arguments.settings.read_text("utf-8"))
    seed = given.pop("seed")
    data, settings = read_material(Path()), Teacher.model_validate(given)
    if arguments.rank:
        print(json.dumps(equal_steps(data, settings, seed, int(arguments.amount))))
        return
    state = new_state(data, settings, seed, 1000)
    profile = rate(state, arguments.amount)
    if arguments.parts:
        profile["parts"] = shares(state, 40)
        profile["peak"] = {"float32": peak(torch.float32), "bfloat16": peak(torch.bfloat16)}
    print(json.dumps({**profile, "parameters": parameter_count(state.model)}))


if __name__ == "__main__":
    main()
