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
from decant.evaluation.intervals import paired_ratio
from decant.evaluation.metrics import ndcg, user_means
from decant.evaluation.scoring import OnnxScorer, rank
from decant.features.holdout import decision_cases, of_users
from decant.features.sequences import Cases
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
RESAMPLES = 2000  # bootstrap samples of users to judge the int8 graph by


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

    A step that loses more than `settings.max_loss` of NDCG@10 is rejected. Pruning is judged by
    the selection half of validation: it is retried with half as much removed, then skipped. The
    int8 graph is judged by the deciding half: if its loss is surely larger, by the paired interval
    of those users, or if there are none, the model is released in float32.

    Returns:
        Per step: NDCG@10 on the selection half, whether it was accepted, shares kept, parameters,
        bytes; for int8 also `kept`, the share of NDCG@10 that deciding users keep, with its bounds.
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
    deciding = decision_cases(material.sequences, material.cases_per_user)
    deciding = deciding if members is None else of_users(deciding, members)
    int8 = _quantise(pruned, supervision.selection, deciding, material, settings, seed, folder)
    log(int8_line(int8, settings.max_loss))
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
    selection: Cases,
    deciding: Cases,
    material: Material,
    settings: Compress,
    seed: int,
    folder: Path,
) -> dict[str, Any]:
    before, target = folder / "pruned" / bundle.GRAPH, folder / "int8"
    after = target / bundle.GRAPH
    config = {"architecture": pruned.architecture.to_dict()}
    bundle.write_text_files(target, config, material.encoder.items, {})
    quantize_int8(before, after)
    ours, theirs = (graph_ndcg(graph, deciding, material) for graph in (after, before))
    kept = paired_ratio(ours, theirs, RESAMPLES, seed)
    taken = kept is not None and kept.upper_bound >= 1 - settings.max_loss
    if not taken:
        after.write_bytes(before.read_bytes())
    step = {
        "ndcg": float(np.mean(graph_ndcg(after, selection, material))) if len(selection) else 0.0,
        "kept": None if kept is None else kept.document(),
        "taken": taken,
        "weights": "int8" if taken else "float32",
    }
    bundle.write_json(target / bundle.METRICS, step)
    bundle.seal(target)
    return {**step, "bytes": bundle.size_bytes(target)}


def int8_line(step: dict[str, Any], max_loss: float) -> str:
    """What decided on the int8 graph, in one line."""
    kept = step["kept"]
    if kept is None:
        return "int8: rejected, no deciding user has a hit with the pruned model"
    low, high = (
        "?" if kept[bound] is None else f"{kept[bound]:.1%}"
        for bound in ("lower_bound", "upper_bound")
    )
    share = f"int8: keeps {kept['value']:.1%} of NDCG@10 [{low}, {high}] of {kept['n']:,} deciding "
    share += "users"
    return share if step["taken"] else f"{share}: rejected, surely loses more than {max_loss:.1%}"


def graph_ndcg(graph: Path, chosen: Cases, material: Material) -> np.ndarray:
    """NDCG@10 of an exported model: each user's mean over their cases, float [V]."""
    if not len(chosen):
        return np.zeros(0)
    ranking = rank(
        OnnxScorer(Model(graph), material.encoder.max_length, as_served=True),
        material.sequences,
        chosen,
        len(material.encoder.items),
        k=K,
        exclude_seen=material.encoder.exclude_seen,
    )
    return user_means(ndcg(ranking.ranks, K), chosen.user)[1]


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
