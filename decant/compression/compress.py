"""Compress a student: distilled → pruned → int8; a step is rejected if it loses quality."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from tqdm import tqdm

from decant.compression.prune import Importance, measure_importance, prune
from decant.compression.quantize import quantize_int8
from decant.evaluation.metrics import ndcg
from decant.evaluation.scoring import OnnxScorer, rank
from decant.models import bundle
from decant.models.build import parameter_count, save_model
from decant.models.export import export_onnx
from decant.models.recommender import Recommender
from decant.params.models import Compress, Distill
from decant.runtime.session import Model
from decant.training.batches import shuffled_batches
from decant.training.loop import Log, Plan, train
from decant.training.state import make_objective
from decant.training.step import prepare_batch
from decant.training.supervision import Material, Supervision, supervise
from decant.training.validate import K, validate

SAMPLE_BATCHES = 30  # batches to measure the importance of heads and units on


def compress_student(
    student: Recommender,
    members: np.ndarray | None,
    material: Material,
    settings: Compress,
    training: Distill,
    seed: int,
    folder: Path,
    log: Log = tqdm.write,
) -> dict[str, Any]:
    """Prune and quantise one student; write the bundles `pruned` and `int8` into `folder`.

    A step that loses more than `settings.max_loss` of NDCG@10 on the selection half of validation
    is rejected: pruning is retried with half as much removed, then skipped; if the int8 graph
    loses too much, the model is released in float32.

    Returns:
        Per step: NDCG@10 on that half, whether it was accepted, shares kept, parameters, bytes.
    """
    supervision = supervise(material, training, members)
    # the attention relations say nothing about the importance of a layer's heads
    weights = replace(supervision.weights, relations=0.0)
    supervision = replace(supervision, weights=weights)
    before = validate(student, material.sequences, supervision)
    pruned, step = _prune(student, supervision, material, settings, training, before, seed, log)
    items = material.encoder.items
    save_model(pruned, folder / "pruned", items, step)
    export_onnx(pruned, folder / "pruned" / bundle.GRAPH, material.encoder.max_length)
    bundle.seal(folder / "pruned")
    int8 = _quantise(pruned, supervision, material, settings, step, folder)
    log(f"int8: NDCG@10 {int8['ndcg']:.4f}" + ("" if int8["taken"] else ", rejected"))
    return {"distilled": {"ndcg": before}, "pruned": step, "int8": int8}


def _prune(
    student: Recommender,
    supervision: Supervision,
    material: Material,
    settings: Compress,
    training: Distill,
    before: float,
    seed: int,
    log: Log,
) -> tuple[Recommender, dict[str, Any]]:
    importance = measure_importance(
        student, _losses(student, supervision, material, training, seed)
    )
    for share in (0.0, 0.5):
        heads, hidden = (
            kept + (1 - kept) * share for kept in (settings.heads_kept, settings.hidden_kept)
        )
        if heads == hidden == 1:
            break
        smaller, after = _prune_and_recover(
            student, importance, heads, hidden, supervision, material, settings, training, seed, log
        )
        kept = f"{heads:.0%} of heads, {hidden:.0%} of units"
        log(f"pruned to {kept}: NDCG@10 {before:.4f} → {after:.4f}")
        if holds(before, after, settings.max_loss):
            return smaller, _hop(smaller, after, True, heads, hidden)
    return student, _hop(student, before, False, 1.0, 1.0)


def _prune_and_recover(
    student: Recommender,
    importance: Importance,
    heads: float,
    hidden: float,
    supervision: Supervision,
    material: Material,
    settings: Compress,
    training: Distill,
    seed: int,
    log: Log,
) -> tuple[Recommender, float]:
    smaller = prune(student, importance, heads, hidden)
    if settings.recover_epochs:
        train(
            smaller,
            material.sequences,
            supervision,
            training,
            Plan(
                settings.recover_epochs,
                training.segment_learning_rate,
                seed,
                keep_start=True,
                log=log,
            ),
        )
    return smaller, validate(smaller, material.sequences, supervision)


def _losses(
    student: Recommender, supervision: Supervision, material: Material, training: Distill, seed: int
) -> Iterator[Tensor]:
    rng = np.random.default_rng(seed)
    objective = make_objective(student.eval(), supervision, material.sequences)
    device = next(student.parameters()).device
    batches = shuffled_batches(supervision.windows(rng), training.batch_size, rng)
    for windows in islice(batches, SAMPLE_BATCHES):
        batch = prepare_batch(
            material.sequences, windows, supervision, student, device, settings=training, rng=rng
        )
        if batch.predictions:
            yield objective(batch)


def _quantise(
    pruned: Recommender,
    supervision: Supervision,
    material: Material,
    settings: Compress,
    before: dict[str, Any],
    folder: Path,
) -> dict[str, Any]:
    target = folder / "int8"
    config = {"architecture": pruned.architecture.to_dict()}
    bundle.write_text_files(target, config, material.encoder.items, {})
    quantize_int8(folder / "pruned" / bundle.GRAPH, target / bundle.GRAPH)
    after = graph_ndcg(target / bundle.GRAPH, supervision, material)
    taken = holds(before["ndcg"], after, settings.max_loss)
    if not taken:
        (target / bundle.GRAPH).write_bytes((folder / "pruned" / bundle.GRAPH).read_bytes())
        after = before["ndcg"]
    step = {"ndcg": after, "taken": taken, "weights": "int8" if taken else "float32"}
    bundle.write_json(target / bundle.METRICS, step)
    bundle.seal(target)
    return {**step, "bytes": bundle.size_bytes(target)}


def graph_ndcg(graph: Path, supervision: Supervision, material: Material) -> float:
    """NDCG@10 of an exported model on the selection cases."""
    ranking = rank(
        OnnxScorer(Model(graph), material.encoder.max_length, as_served=True),
        material.sequences,
        supervision.selection,
        len(material.encoder.items),
        k=K,
        exclude_seen=supervision.exclude_seen,
    )
    return float(ndcg(ranking.ranks, K).mean()) if len(supervision.selection) else 0.0


def holds(before: float, after: float, max_loss: float) -> bool:
    """Whether the loss of quality is within `max_loss`, relative to `before`."""
    return after >= before * (1 - max_loss)


def _hop(
    model: Recommender, quality: float, taken: bool, heads: float, hidden: float
) -> dict[str, Any]:
    return {
        "ndcg": quality,
        "taken": taken,
        "heads_kept": heads,
        "hidden_kept": hidden,
        "parameters": parameter_count(model),
    }
