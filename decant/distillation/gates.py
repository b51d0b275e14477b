"""Experts beside a trained network: tables from its training events, gates on what came after.

Counts and network have seen the training window, so neither is judged there: a gate fitted on it
would trust whatever remembers best. Gates are fitted to the events of the selection half's users
in the validation window: no expert has seen these events, nor this time. Whether they are used at
all, users of other folds decide.

Shapes: C cases, N items, M experts, F folds.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from decant.distillation.gate_evidence import (
    Evidence,
    combined,
    enlarged,
    gate_cases,
    gather_evidence,
    ndcg_of,
    reset,
    restore,
)
from decant.distillation.gate_fit import calibrate, fit_gates
from decant.distillation.tables import pack
from decant.evaluation.baselines.mixture import fit_mixture
from decant.evaluation.metrics import mean_over_users
from decant.features.holdout import of_users
from decant.features.sequences import Cases, training_counts
from decant.models.experts import Experts, ExpertShape
from decant.models.recommender import Recommender
from decant.training.supervision import Material

FEWEST_USERS = 20  # that gates are fitted to; with fewer the network stays alone
FOLDS = 4
WORTH = 0.01  # relative gain of constant weights, and again of gates, that pays for their operators
NETWORK, CONSTANT, GATED = "network", "constant", "gated"
INHERITED, REFITTED = "inherited", "refitted"

Log = Callable[[str], None]


@dataclass(frozen=True)
class Choice:
    """What was chosen, and the cross-validated NDCG@10 of every candidate.

    `half_life`: days after which an event counts half in the tables, None: never. `constant`: the
    gates without signals, by name. `clock`: whether the model reads the moment to recommend for.
    """

    kind: str
    ndcg: dict[str, float]
    users: int
    half_life: float | None = None
    constant: dict[str, float] | None = None
    clock: bool = False

    def summary(self) -> dict[str, Any]:
        return asdict(self)


def add_experts(
    model: Recommender, material: Material, shape: ExpertShape, seed: int, log: Log
) -> tuple[Recommender, dict[str, Any] | None]:
    """The model with experts, or as it is where they do not help users they were not fitted to.

    Returns:
        The model, and what was chosen; None without experts to choose from.
    """
    if not shape.names:
        return model, None
    items = len(material.encoder.items)
    chosen = gate_cases(material.sequences, items, exclude_seen=material.encoder.exclude_seen)
    users = len(np.unique(chosen.user))
    if users < FEWEST_USERS:
        log(f"experts are left out: {users} users to fit them to, fewer than {FEWEST_USERS}")
        return model, Choice(NETWORK, {}, users).summary()
    larger, evidence, half_life = with_tables(model, material, shape, chosen)
    assert larger.experts is not None
    quality = {NETWORK: mean_over_users(evidence.ndcg, evidence.user)}
    for kind in (CONSTANT, GATED):
        quality[kind] = cross_validated(larger.experts, evidence, kind, seed)
    kind = best(quality, log)
    choice = Choice(kind, quality, users, half_life)
    if kind == NETWORK:
        return model, choice.summary()
    fit_gates(larger.experts, evidence, seed, gated=kind == GATED)
    clock = shape.clock and kind == GATED
    choice = replace(choice, constant=constants(larger.experts), clock=clock)
    whole = of_kind(larger, kind).to(model.bias.device)
    calibrate(whole, material, chosen)
    return whole, choice.summary()


def fitted(
    model: Recommender, material: Material, shape: ExpertShape, kind: str, seed: int
) -> Recommender:
    """The model with experts of this kind, whether they help or not."""
    if not shape.names:
        return model
    exclude_seen = material.encoder.exclude_seen
    items = len(material.encoder.items)
    chosen = gate_cases(material.sequences, items, exclude_seen=exclude_seen)
    larger, evidence, _ = with_tables(model, material, shape, chosen)
    assert larger.experts is not None
    fit_gates(larger.experts, evidence, seed, gated=kind == GATED)
    return of_kind(larger, kind).to(model.bias.device)


def with_tables(
    model: Recommender, material: Material, shape: ExpertShape, chosen: Cases
) -> tuple[Recommender, Evidence, float | None]:
    """A copy of the model with tables of the training events, its experts on the CPU; what its
    gates are to be fitted to; the half-life of the counts, in days."""
    sequences, items = material.sequences, len(material.encoder.items)
    counts, _ = fit_mixture(sequences, chosen, items)
    larger = enlarged(model, shape)
    assert larger.experts is not None
    pack(larger.experts, counts, training_counts(sequences, items))
    reset(larger.experts, 0)
    evidence = gather_evidence(larger, material, chosen)
    larger.experts.cpu()
    standardise(larger.experts, evidence.signals)
    return larger, evidence, counts.half_life


def of_kind(model: Recommender, kind: str) -> Recommender:
    """The model, or one with the same constant weights that computes no signals."""
    shape = model.architecture.experts
    if shape is None or kind != CONSTANT:
        return model
    simpler = enlarged(model, replace(shape, gated=False))
    simpler.load_state_dict(model.state_dict())
    assert simpler.experts is not None
    simpler.experts.normalise()
    return simpler


def refit_gates(
    model: Recommender, material: Material, members: np.ndarray, seed: int, log: Log
) -> dict[str, Any] | None:
    """Fit the gates of a segment's student to its members, in place, from those it started with.

    They stay as they are unless members of other folds are better served. Returns None without
    experts.
    """
    experts, items = model.experts, len(material.encoder.items)
    if experts is None:
        return None
    exclude_seen = material.encoder.exclude_seen
    chosen = of_users(gate_cases(material.sequences, items, exclude_seen=exclude_seen), members)
    users = len(np.unique(chosen.user))
    if users < FEWEST_USERS:
        return Choice(INHERITED, {}, users, constant=constants(experts)).summary()
    device = model.bias.device
    start = [buffer.clone().cpu() for buffer in experts.gate_buffers]
    evidence = gather_evidence(model, material, chosen)
    experts.cpu()
    kind = GATED if start[-1].any() else CONSTANT
    quality = {
        INHERITED: mean_over_users(
            ndcg_of(combined(experts, evidence), evidence.target), evidence.user
        )
    }
    quality[REFITTED] = cross_validated(experts, evidence, kind, seed, start)
    chosen_kind = best(quality, log)
    restore(experts, start)
    if chosen_kind == REFITTED:
        fit_gates(experts, evidence, seed, gated=kind == GATED, start=start)
        experts.normalise()
    model.to(device)
    clock = experts.shape.clock and kind == GATED
    return Choice(chosen_kind, quality, users, constant=constants(experts), clock=clock).summary()


def best(quality: dict[str, float], log: Log) -> str:
    """The candidate with the highest NDCG, the first one in a tie; constant weights need a gain of
    `WORTH` over the network alone, and gates over constant weights."""
    paid = {CONSTANT: 1 + WORTH, GATED: (1 + WORTH) ** 2}
    counted = {name: value / paid.get(name, 1) for name, value in quality.items()}
    kind = max(counted, key=lambda name: counted[name])
    log(f"experts: {', '.join(f'{name} {value:.4f}' for name, value in quality.items())}: {kind}")
    return kind


def constants(experts: Experts) -> dict[str, float]:
    """The gates without signals, by name."""
    return dict(zip((NETWORK, *experts.shape.names), experts.base.tolist(), strict=True))


def expert_line(summary: dict[str, Any] | None) -> str:
    """What was chosen, as a sentence; empty without experts."""
    if summary is None:
        return ""
    measured = ", ".join(f"{name} {value:.4f}" for name, value in summary["ndcg"].items())
    return f"; experts: **{summary['kind']}**" + (f" ({measured})" if measured else "")


def standardise(experts: Experts, signals: torch.Tensor) -> None:
    """Store mean and spread of the signals [C, S], in place."""
    experts.mean.copy_(signals.mean(0))
    experts.spread.copy_(signals.std(0, correction=0) + 1e-3)


def cross_validated(
    experts: Experts,
    evidence: Evidence,
    kind: str,
    seed: int,
    start: list[torch.Tensor] | None = None,
) -> float:
    """NDCG@10 of every user's cases by gates that were fitted to users of other folds."""
    fold = np.unique(evidence.user, return_inverse=True)[1] % FOLDS
    scores = torch.empty_like(evidence.deep)
    for number in range(FOLDS):
        others = evidence.take(np.flatnonzero(fold != number))
        fit_gates(experts, others, seed, gated=kind == GATED, start=start)
        held = np.flatnonzero(fold == number)
        scores[torch.from_numpy(held)] = combined(experts, evidence.take(held))
    return mean_over_users(ndcg_of(scores, evidence.target), evidence.user)
