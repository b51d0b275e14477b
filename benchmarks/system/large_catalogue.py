"""A student with experts on a large catalogue: memory and time to make it, bytes and latency.

The log is generated: each item is mostly followed by one of `NEXT` others, else by a popular one.
The network is untrained, which changes neither bytes nor latency; quality is that of the experts
alone, beside the counts that they were packed from.
"""

import json
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from benchmarks.experiments.data_sets import Log, NotDoneError
from benchmarks.harness.checkout import Clone
from benchmarks.harness.graphs import exported
from decant.distillation.tables import pack
from decant.evaluation.baselines.mixture import count
from decant.evaluation.latency import interleaved_latency
from decant.features.encode import Encoder
from decant.features.sequences import TEST, Cases, Sequences, cases, histories, training_counts
from decant.models.experts import Experts, ExpertShape
from decant.models.recommender import Architecture, Recommender
from decant.report.results import Outcome
from decant.runtime.session import Model
from decant.training.validate import to_tensors

ITEMS, USERS, STEPS = 200_000, 20_000, 50
MILLION = 1_000_000  # items, for which bytes are computed from those of fewer
NEXT, FOLLOWS = 3, 0.8
DIMENSION, LENGTH = 32, 50
SHAPE = ExpertShape(("chain", "popularity"), successors=8, factors=8, clock=False, gated=False)
REQUESTS, QUERIES, BEST = 100, 200, 10
SEED = 7


def bench(project: Clone, log: Log) -> Outcome:
    """Generate the log, make plain student and student with experts, measure both.

    Raises:
        NotDoneError: the measurement failed.
    """
    log(f"{ITEMS:,} items, {USERS * STEPS:,} events; some minutes")
    measured = project.run("-m", "benchmarks.system.large_catalogue")
    if measured.status:
        raise NotDoneError(f"the measurement failed: {measured.error}")
    outcome = Outcome(protocol(), [SEED])
    for name, value in json.loads(measured.output.splitlines()[-1]).items():
        outcome.measured(name, value)
    agreed = outcome.figures["experts.agreement"]["value"]
    outcome.holds("graph.agrees_with_torch", agreed > 0.99, f"{agreed:.3f} of the best items")
    return outcome


def protocol() -> dict[str, Any]:
    """Description of the protocol."""
    return {
        "log": f"generated: {ITEMS:,} items, {USERS:,} users, {STEPS} events each; {FOLLOWS:.0%} "
        f"of the steps to one of {NEXT} successors of the item, else by popularity",
        "student": f"one layer of {DIMENSION}, untrained, int8; with experts: "
        f"{', '.join(SHAPE.names)}, {SHAPE.successors} successors, {SHAPE.factors} factors",
        "latency": "p50 of single requests, one thread, both graphs in turn; µs on this machine, "
        "compare the ratio",
        "covered": f"share of next items that are among the {BEST} best: of the counts, and of the "
        "tables packed from them",
        "agreement": f"share of the {BEST} best items of torch in float32 that the graph in int8 "
        "ranks so too, experts alone",
        "million": "bytes, extrapolated from half as many items and from all of them",
    }


def measure(items: int, users: int) -> dict[str, float]:
    """All figures by dotted name."""
    sequences = log_of(items, users, np.random.default_rng(SEED))
    started = time.perf_counter()
    counts = count(sequences, items)
    counted = time.perf_counter()
    experts = Experts(SHAPE, items)
    pack(experts, counts, training_counts(sequences, items))
    figures = {
        "seconds.count": round(counted - started, 1),
        "seconds.pack": round(time.perf_counter() - counted, 1),
    }
    experts.base.fill_(1.0)
    chosen = cases(sequences, TEST, 1)
    asked = chosen.take(np.arange(min(QUERIES, len(chosen))))
    with TemporaryDirectory() as folder:
        sizes = {}
        for name, added in (("plain", None), ("experts", experts)):
            for part in (items // 2, items):
                path = Path(folder) / f"{name}.{part}.onnx"
                sizes[name, part] = exported(student(part, added), path)
        graphs = {n: Model(Path(folder) / f"{n}.{items}.onnx") for n in ("plain", "experts")}
        encoder = Encoder(tuple(map(str, range(items))), ("view",), {}, LENGTH, 0.0, False)
        latency = interleaved_latency(graphs, sequences, chosen, encoder, REQUESTS, SEED)
        silent = student(items, experts, silent=True)
        exported(silent, Path(folder) / "silent.onnx")
        ours = best(graph_scores(Model(Path(folder) / "silent.onnx"), sequences, asked))
        theirs = best(torch_scores(silent, sequences, asked))
    figures["experts.agreement"] = overlap(ours, theirs)
    targets = np.asarray(sequences.items)[asked.position]
    last = np.asarray(sequences.items)[asked.position - 1]
    counted_best = best(counts.chain[last].toarray())
    figures["covered.counts"] = float((counted_best == targets[:, None]).any(1).mean())
    figures["covered.experts"] = float((ours == targets[:, None]).any(1).mean())
    for name in ("plain", "experts"):
        half, whole = sizes[name, items // 2], sizes[name, items]
        figures[f"{name}.megabytes"] = whole / 1e6
        growth = (whole - half) / (items - items // 2)
        figures[f"{name}.megabytes.million"] = (whole + growth * (MILLION - items)) / 1e6
        figures[f"{name}.latency_us"] = latency[name]["p50"]
    for what in ("megabytes", "latency_us"):
        figures[f"ratio.{what}"] = figures[f"experts.{what}"] / figures[f"plain.{what}"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures["memory.peak_mb"] = round(peak / (1024 if sys.platform != "darwin" else 2**20))
    return figures


def log_of(items: int, users: int, rng: np.random.Generator) -> Sequences:
    """A log as `protocol` says; the last event of each user is the test, the one before it the
    validation."""
    successors = rng.integers(1, items + 1, (items + 1, NEXT))
    rank = rng.permutation(items) + 1.0
    cumulative = np.cumsum(1 / rank)
    taken = np.empty((users, STEPS), dtype=np.int64)
    for step in range(STEPS):
        drawn = np.searchsorted(cumulative, rng.random(users) * cumulative[-1]) + 1
        taken[:, step] = drawn.clip(max=items)
        if step:
            after = successors[taken[:, step - 1], rng.integers(0, NEXT, users)]
            taken[:, step] = np.where(rng.random(users) < FOLLOWS, after, taken[:, step])
    size = users * STEPS
    none = np.zeros(size, dtype=np.int8)
    return Sequences(
        offsets=np.arange(0, size + 1, STEPS), items=taken.ravel().astype(np.int32),
        behaviours=none + 1, ratings=none, gaps=none, times=np.full(size, np.nan),
        target=np.full(size, True), attributes=np.zeros((users, 0), dtype=np.int16),
        split=np.tile([STEPS - 2, STEPS - 1], (users, 1)), baskets=np.arange(size, dtype=np.int32),
    )  # fmt: skip


def student(items: int, experts: Experts | None, *, silent: bool = False) -> Recommender:
    """An untrained student with the first rows of some experts; `silent`: its network says nothing.

    A part of a catalogue keeps the rows, whose successors may then not exist: only for its bytes.
    """
    torch.manual_seed(SEED)
    shape = Architecture(
        items, DIMENSION, (2,), DIMENSION // 2, (2 * DIMENSION,), LENGTH, ("item",),
        experts=None if experts is None else SHAPE,
    )  # fmt: skip
    model = Recommender(shape).eval()
    if silent:
        with torch.no_grad():
            model.norm.weight.zero_()
    if model.experts is not None and experts is not None:
        for name, buffer in model.experts.named_buffers():
            source = getattr(experts, name)
            cut = source[:, : items + 1] if name == "right" else source[: items + 1]
            buffer.copy_(cut)
    return model


def graph_scores(graph: Model, sequences: Sequences, chosen: Cases) -> np.ndarray:
    """Scores of the graph, float [C, N + 1]."""
    return graph.scores(histories(sequences, chosen, graph.inputs, LENGTH))


@torch.no_grad()
def torch_scores(model: Recommender, sequences: Sequences, chosen: Cases) -> np.ndarray:
    """Scores of the model, float [C, N + 1]."""
    batch = histories(sequences, chosen, model.architecture.request_inputs, LENGTH)
    scores: np.ndarray = model(to_tensors(batch, torch.device("cpu"))).numpy()
    return scores


def best(scores: np.ndarray) -> np.ndarray:
    """The best items of each row, int [C, BEST]."""
    return np.argpartition(-scores[:, 1:], BEST, axis=1)[:, :BEST] + 1


def overlap(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Mean share of items that two lists have in common."""
    pairs = zip(ours.tolist(), theirs.tolist(), strict=True)
    return float(np.mean([len({*a} & {*b}) / len(a) for a, b in pairs]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(measure(ITEMS, USERS)))
