"""How fast the trainer is, and where its time goes; `decant bench training` starts it.

In a workspace whose features are made:
`python -m benchmarks.throughput.step_profile SETTINGS SECONDS [--rank]`, SETTINGS a file of
`teacher` settings as JSON. Prints one JSON document.
"""

import argparse
import json
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.experiments.teachers import Prepared, prepared, write_result
from decant.distillation.student import plain_lesson
from decant.models.build import architecture, parameter_count
from decant.models.recommender import Architecture
from decant.params.models import Teacher
from decant.training.batches import Windows, shuffled_batches
from decant.training.device import PROBE, TRIES, seconds
from decant.training.loop import seeded, train
from decant.training.objective import Batch
from decant.training.softmax import chunked
from decant.training.state import Pupil, make_pupil
from decant.training.step import CLIP, prepare_batch, take_step
from decant.training.supervision import Lesson
from decant.training.validate import TorchScorer

WARM_UP = 10  # steps that are not timed
PARTS = ("cut", "states", "loss", "backward", "update")
BACKWARD = 3  # products of a step ÷ those of its forward pass
USED = 0.9  # share of the given time that is planned for


def new_pupil(data: Prepared, settings: Teacher, seed: int, epochs: int) -> Pupil:
    """A model and all that trains it."""
    torch.set_num_threads(settings.threads)
    model = seeded(architecture(settings, data.encoder, data.vectors), data.vectors, seed)
    lesson = lesson_of(data)
    pupil = make_pupil(
        model, data.sequences, lesson, settings, epochs, settings.learning_rate, seed
    )
    model.train()
    return pupil


def lesson_of(data: Prepared) -> Lesson:
    """All training events; one half of the validation users chooses the epoch."""
    return plain_lesson(data.material)


def batches(pupil: Pupil) -> Iterator[Windows]:
    """Batches for ever, epoch after epoch."""
    rng = np.random.default_rng(pupil.seed)
    while True:
        yield from shuffled_batches(pupil.lesson.windows(rng), pupil.settings.batch_size, rng)


def rate(pupil: Pupil, limit: float) -> dict[str, Any]:
    """Train for so many seconds: events predicted and how long that took, warm-up left out."""
    events, products, began = 0, 0.0, 0.0
    start = time.perf_counter()
    for step, windows in zip(count(), batches(pupil), strict=False):
        if step == WARM_UP:
            events, products, began = 0, 0.0, time.perf_counter()
        predicted = take_step(pupil, windows, (pupil.seed, 0, step))[1]
        events += predicted
        products += products_of(pupil.model.architecture, windows, predicted)
        if step > WARM_UP and time.perf_counter() - start >= limit:
            break
    taken = time.perf_counter() - began
    return {"events": events, "seconds": taken, "gflops": products / taken / 1e9}


def products_of(a: Architecture, windows: Windows, predicted: int) -> float:
    """Floating-point operations of the matrix products of one step, padding left out."""
    lengths = windows.stop - windows.first - 1
    widths = [heads * a.head_width for heads in a.heads]
    each = sum(2 * a.dimension * (4 * w + 2 * f) for w, f in zip(widths, a.hidden, strict=True))
    pairs = sum(4 * w for w in widths) * float((lengths.astype(float) ** 2).sum())
    return BACKWARD * (
        float(lengths.sum()) * each + pairs + 2.0 * predicted * (a.items + 1) * a.dimension
    )


def peak(kind: torch.dtype) -> float:
    """What this machine's matrix products reach on shapes as in training, GFLOP/s."""
    rows, inner, columns = PROBE
    a, b = torch.ones(rows, inner, dtype=kind), torch.ones(inner, columns, dtype=kind)
    fastest = min(seconds(lambda: a @ b) for _ in range(10 * TRIES))
    return 2 * rows * inner * columns / fastest / 1e9


def shares(pupil: Pupil, steps: int) -> dict[str, float]:
    """Share of a step's time that each of its parts takes."""
    spent = dict.fromkeys(PARTS, 0.0)
    rng = np.random.default_rng(0)
    for step, windows in zip(range(WARM_UP + steps), batches(pupil), strict=False):
        marks = [time.perf_counter()]
        batch = prepare_batch(
            pupil.sequences, windows, pupil.lesson, pupil.model, pupil.fabric.device,
            settings=pupil.settings, likely=pupil.likely, rng=rng,
        )  # fmt: skip
        marks.append(time.perf_counter())
        loss, states = loss_of(pupil, batch)
        marks += [states, time.perf_counter()]
        pupil.optimizer.zero_grad()
        pupil.fabric.backward(loss)
        marks.append(time.perf_counter())
        nn.utils.clip_grad_norm_(pupil.model.parameters(), CLIP)
        pupil.optimizer.step()
        marks.append(time.perf_counter())
        if step >= WARM_UP:
            for part, begin, end in zip(PARTS, marks[:-1], marks[1:], strict=True):
                spent[part] += end - begin
    whole = sum(spent.values())
    return {part: taken / whole for part, taken in spent.items()}


def loss_of(pupil: Pupil, batch: Batch) -> tuple[torch.Tensor, float]:
    """A step's loss, and when its states were there."""
    model = pupil.model
    with pupil.fabric.autocast():
        table = model.table()
        states = model.hidden(batch.inputs, table).flatten(0, 1)
        hidden = states.index_select(0, batch.places).float()
        then = time.perf_counter()
        loss = chunked(
            lambda scores, rows: nn.functional.cross_entropy(
                scores, batch.targets[rows], reduction="sum"
            ),
            hidden, table, model.bias,
        )  # fmt: skip
    return loss / batch.predictions, then


def equal_time(data: Prepared, settings: Teacher, seed: int, limit: float) -> dict[str, Any]:
    """Train about so many seconds, learning rate to its end, and rank the validation cases."""
    pupil = new_pupil(data, settings, seed, 1)
    tried = rate(pupil, min(30.0, limit / 4))
    windows = pupil.lesson.windows(np.random.default_rng(0))
    epoch = float((windows.stop - windows.first - 1).sum()) * tried["seconds"] / tried["events"]
    epochs = max(1, int(USED * limit / epoch))
    model = seeded(architecture(settings, data.encoder, data.vectors), data.vectors, seed)
    long = settings.model_copy(update={"epochs": epochs, "patience": epochs})
    report = train(
        model, data.sequences, lesson_of(data), long,
        epochs=epochs, learning_rate=settings.learning_rate, seed=seed,
    )  # fmt: skip
    write_result(data, "equal-time", TorchScorer(model.cpu()), {"settings": settings.model_dump()})
    return {"trained": report.seconds, "epochs": epochs, "events": report.events}


def main() -> None:
    """Be the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--rank", action="store_true", help="train to an end and rank")
    parser.add_argument("--parts", action="store_true", help="where the time goes")
    arguments = parser.parse_args()
    given = json.loads(arguments.settings.read_text("utf-8"))
    seed = given.pop("seed")
    data, settings = prepared(Path()), Teacher.model_validate(given)
    if arguments.rank:
        print(json.dumps(equal_time(data, settings, seed, arguments.seconds)))
        return
    pupil = new_pupil(data, settings, seed, 1000)
    found = rate(pupil, arguments.seconds)
    if arguments.parts:
        found["parts"] = shares(pupil, 40)
        found["peak"] = {"float32": peak(torch.float32), "bfloat16": peak(torch.bfloat16)}
    print(json.dumps({**found, "parameters": parameter_count(pupil.model)}))


if __name__ == "__main__":
    main()
