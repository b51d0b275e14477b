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
from torch.nn import functional

from decant.distillation.tables import pack
from decant.evaluation.baselines.mixture import fit_mixture
from decant.evaluation.metrics import mean_over_users, ndcg, rank_targets
from decant.features.holdout import in_selection, of_users
from decant.features.sequences import (
    VALIDATION,
    Cases,
    Sequences,
    cases,
    histories,
    history_lengths,
    masked_items,
    training_counts,
)
from decant.models.experts import POPULARITY, Experts, ExpertShape
from decant.models.recommender import MASKED_SCORE, Recommender
from decant.training.supervision import Material
from decant.training.validate import K, to_tensors

MOST_CASES = 20_000  # that gates are fitted to
FEWEST_USERS = 20  # of them; with fewer the network stays alone
FOLDS = 4
CANDIDATES = 512  # items of each case that gates are fitted on: those that compete for its list
EPOCHS = 20
BATCH = 256
RATE, DECAY = 5e-3, 1e-2
START, OFFSET = 0.3, 9.0  # gates and -log ε before they are fitted
MOST_SCORES = 2**20  # of a batch; times M + 1 they are in memory
NETWORK, CONSTANT, GATED = "network", "constant", "gated"
INHERITED, REFITTED = "inherited", "refitted"

Log = Callable[[str], None]


@dataclass(frozen=True)
class Choice:
    """What was chosen, and the cross-validated NDCG@10 of every candidate.

    `half_life`: days after which an event counts half in the tables, None: never. `constant`: the
    gates without signals, by name.
    """

    kind: str
    ndcg: dict[str, float]
    users: int
    half_life: float | None = None
    constant: dict[str, float] | None = None

    def summary(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Evidence:
    """What gates are fitted to: C cases with Q competing items each.

    `deep`, `popular` float [C, Q]; `probabilities` float [C, A, Q]; `signals` float [C, S];
    `target` int [C]: its column, -1 where it does not compete; `user` int [C]; `ndcg` float [C]:
    the network's own NDCG@10. An item that is no candidate of a case has `MASKED_SCORE` in `deep`.
    """

    deep: torch.Tensor
    probabilities: torch.Tensor
    popular: torch.Tensor | None
    signals: torch.Tensor
    target: torch.Tensor
    user: np.ndarray
    ndcg: np.ndarray

    def take(self, rows: np.ndarray) -> "Evidence":
        index = torch.from_numpy(rows)
        popular = None if self.popular is None else self.popular[index]
        return Evidence(
            self.deep[index], self.probabilities[index], popular, self.signals[index],
            self.target[index], self.user[rows], self.ndcg[rows],
        )  # fmt: skip


def add_experts(
    model: Recommender, material: Material, shape: ExpertShape, seed: int, log: Log
) -> tuple[Recommender, dict[str, Any] | None]:
    """The model with experts, or as it is where they do not help users they were not fitted to.

    Returns:
        The model, and what was chosen; None without experts to choose from.
    """
    if not shape.names:
        return model, None
    sequences, items = material.sequences, len(material.encoder.items)
    chosen = gate_cases(sequences, items, exclude_seen=material.encoder.exclude_seen)
    users = len(np.unique(chosen.user))
    if users < FEWEST_USERS:
        log(f"experts are left out: {users} users to fit them to, fewer than {FEWEST_USERS}")
        return model, Choice(NETWORK, {}, users).summary()
    counts, _ = fit_mixture(sequences, chosen, items)
    larger = enlarged(model, shape)
    assert larger.experts is not None
    pack(larger.experts, counts, training_counts(sequences, items))
    evidence = gather_evidence(larger, material, chosen)
    device = larger.bias.device
    larger.experts.cpu()
    standardise(larger.experts, evidence.signals)
    quality = {NETWORK: mean_over_users(evidence.ndcg, evidence.user)}
    for kind in (CONSTANT, GATED):
        quality[kind] = cross_validated(larger.experts, evidence, kind, seed)
    kind = best(quality, log)
    choice = Choice(kind, quality, users, counts.half_life)
    if kind == NETWORK:
        return model, choice.summary()
    fit_gates(larger.experts, evidence, kind, seed)
    return larger.to(device), replace(choice, constant=constants(larger.experts)).summary()


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
    restore(experts, start)
    quality = {
        INHERITED: mean_over_users(
            ndcg_of(combined(experts, evidence), evidence.target), evidence.user
        )
    }
    quality[REFITTED] = cross_validated(experts, evidence, kind, seed, start)
    chosen_kind = best(quality, log)
    restore(experts, start)
    if chosen_kind == REFITTED:
        fit_gates(experts, evidence, kind, seed, start)
    model.to(device)
    return Choice(chosen_kind, quality, users, constant=constants(experts)).summary()


def best(quality: dict[str, float], log: Log) -> str:
    """The candidate with the highest NDCG, the first one in a tie."""
    kind = max(quality, key=lambda name: quality[name])
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


def gate_cases(sequences: Sequences, items: int, *, exclude_seen: bool) -> Cases:
    """The events that gates are fitted to; one that is no candidate of its own case is left out."""
    chosen = cases(sequences, VALIDATION, MOST_CASES)
    chosen = chosen.take(np.flatnonzero(in_selection(chosen.user)))
    chosen = chosen.take(np.arange(0, len(chosen), max(1, -(-len(chosen) // MOST_CASES))))
    targets = np.asarray(sequences.items)[chosen.position]
    kept = [
        ~masked_items(sequences, part, items, exclude_seen=exclude_seen)[
            np.arange(len(part)), targets[rows]
        ]
        for rows, part in parts_of(chosen, items)
    ]
    return chosen.take(np.flatnonzero(np.concatenate(kept))) if kept else chosen


def enlarged(model: Recommender, shape: ExpertShape | None) -> Recommender:
    """A copy of the model with empty experts of this shape, or with none."""
    other = Recommender(replace(model.architecture, experts=shape))
    other.load_state_dict(
        {name: w for name, w in model.state_dict().items() if not name.startswith("experts.")},
        strict=False,
    )
    return other.to(next(model.parameters()).device).eval()


@torch.no_grad()
def gather_evidence(model: Recommender, material: Material, chosen: Cases) -> Evidence:
    """The competing items of each case: those with the highest scores before gates are fitted.

    A target that is not among them stays out: put among them, it would be told by its low score.
    """
    experts, items = model.experts, model.architecture.items
    assert experts is not None
    reset(experts, 0)
    popular = experts.popular if POPULARITY in experts.shape.names else None
    parts, quality, columns = [], [], []
    for _, part in parts_of(chosen, items):
        batch = inputs(model, material.sequences, part)
        table = model.item_embeddings()
        deep = model.scores(model.encode(batch, table, last=True)[:, 0], table)
        probabilities, signals = experts.answer(batch)
        masked = masked_items(
            material.sequences, part, items, exclude_seen=material.encoder.exclude_seen
        )
        deep = deep.masked_fill(torch.from_numpy(masked).to(deep.device), MASKED_SCORE)
        score = experts.combine(deep, probabilities, popular, experts.mean.expand_as(signals))
        targets = np.asarray(material.sequences.items)[part.position].astype(np.int64)
        column = score.topk(min(CANDIDATES, items)).indices
        hit = column == torch.from_numpy(targets)[:, None].to(column.device)
        target = torch.where(hit.any(1), hit.float().argmax(1), -1)
        each = column[:, None].expand(-1, probabilities.shape[1], -1)
        taken = deep.gather(1, column), probabilities.gather(2, each), signals, target
        parts.append(tuple(tensor.cpu() for tensor in taken))
        ranks = rank_targets(deep.cpu().numpy(), masked, targets)
        quality.append(ndcg(ranks, K))
        columns.append(column.cpu())
    deep, probabilities, signals, target = (torch.cat(c) for c in zip(*parts, strict=True))
    shares = None if popular is None else popular.cpu()[torch.cat(columns)]
    return Evidence(
        deep, probabilities, shares, signals, target, chosen.user, np.concatenate(quality)
    )


def inputs(model: Recommender, sequences: Sequences, part: Cases) -> dict[str, torch.Tensor]:
    """A model's inputs of some cases, on its device."""
    a = model.architecture
    length = int(history_lengths(sequences, part).clip(1, a.max_length).max())
    arrays = histories(sequences, part, a.request_inputs, length)
    return to_tensors(arrays, next(model.parameters()).device)


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
        fit_gates(experts, evidence.take(np.flatnonzero(fold != number)), kind, seed, start)
        held = np.flatnonzero(fold == number)
        scores[torch.from_numpy(held)] = combined(experts, evidence.take(held))
    return mean_over_users(ndcg_of(scores, evidence.target), evidence.user)


def fit_gates(
    experts: Experts,
    evidence: Evidence,
    kind: str,
    seed: int,
    start: list[torch.Tensor] | None = None,
) -> None:
    """Fit gates to the evidence, in place, from weights that depend only on the seed, or, more
    gently, from those in `start`.

    The loss is the cross-entropy among the competing items, where the target is one of them; a user
    with n such cases weighs √n.
    """
    evidence = evidence.take(np.flatnonzero(evidence.target.numpy() >= 0))
    reset(experts, seed)
    rate, decay, epochs = (RATE, DECAY, EPOCHS) if start is None else (RATE / 5, 0.0, EPOCHS // 4)
    if start is not None:
        restore(experts, start)
    if not len(evidence.user):
        return
    fitted = experts.gate_buffers[: None if kind == GATED else 2]
    count = np.bincount(evidence.user)[evidence.user]
    weight = torch.from_numpy(count**-0.5 / (count**-0.5).mean()).to(torch.float32)
    rng = np.random.default_rng(seed)
    size = len(evidence.user)
    optimizer = torch.optim.AdamW(fitted, rate, weight_decay=decay)
    steps = epochs * -(-size // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps + 1, pct_start=0.1
    )
    for buffer in fitted:
        buffer.requires_grad_(True)
    for _ in range(epochs):
        order = rng.permutation(size)
        for first in range(0, size, BATCH):
            rows = order[first : first + BATCH]
            part = evidence.take(rows)
            scores = combined(experts, part)
            losses = functional.cross_entropy(scores, part.target, reduction="none")
            loss = (losses * weight[torch.from_numpy(rows)]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    for buffer in fitted:
        buffer.requires_grad_(False)


def combined(experts: Experts, evidence: Evidence) -> torch.Tensor:
    """Scores of the competing items, [C, Q]; `MASKED_SCORE` for those that are none."""
    scores = experts.combine(
        evidence.deep, evidence.probabilities, evidence.popular, evidence.signals
    )
    return scores.masked_fill(evidence.deep <= MASKED_SCORE, MASKED_SCORE)


def reset(experts: Experts, seed: int) -> None:
    """Gates as before any fit: the network as it is, and a little of every expert."""
    generator = torch.Generator().manual_seed(seed)
    experts.base.fill_(START)
    experts.base[0] = 1.0
    experts.offset.fill_(OFFSET)
    experts.outer.zero_()
    experts.inner_bias.zero_()
    start = torch.randn(experts.inner.shape, generator=generator) * experts.inner.shape[0] ** -0.5
    experts.inner.copy_(start)


def restore(experts: Experts, gates: list[torch.Tensor]) -> None:
    """Set the gates, in place."""
    for buffer, value in zip(experts.gate_buffers, gates, strict=True):
        buffer.copy_(value)


def ndcg_of(scores: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    """NDCG@10 of the items in the columns `target`, float [C]; ties count against them."""
    own = scores.gather(1, target.clamp(min=0)[:, None])
    ranks = (scores >= own).sum(1)  # its own score is one of them
    return np.where(target.numpy() >= 0, ndcg(ranks.numpy(), K), 0.0)


def parts_of(chosen: Cases, items: int) -> list[tuple[np.ndarray, Cases]]:
    """Cases in parts that fit into memory: their rows, and the cases."""
    size = int(np.clip(MOST_SCORES // (items + 1), 8, 256))
    rows = [np.arange(s, min(s + size, len(chosen))) for s in range(0, len(chosen), size)]
    return [(r, chosen.take(r)) for r in rows]
