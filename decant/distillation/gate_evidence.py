"""What gates are fitted to: unseen events, their competing items, and what experts say of them.

Shapes: C cases, N items, M experts, A of them asked, Q competing items, S signals.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from decant.evaluation.metrics import ndcg, rank_targets
from decant.features.holdout import selection_events
from decant.features.sequences import (
    Cases,
    Sequences,
    histories,
    history_lengths,
    masked_items,
)
from decant.models.experts import POPULARITY, Experts, ExpertShape
from decant.models.recommender import MASKED_SCORE, Recommender
from decant.training.supervision import Material
from decant.training.validate import K, to_tensors

MOST_CASES = 20_000  # that gates are fitted to
CANDIDATES = 512  # items of each case that compete for its list
START, OFFSET = 0.3, 9.0  # gates and -log ε before they are fitted
MOST_SCORES = 2**20  # of a batch; times M + 1 they are in memory


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


def gate_cases(sequences: Sequences, items: int, *, exclude_seen: bool) -> Cases:
    """The events that gates are fitted to; one that is no candidate of its own case is left out."""
    chosen = selection_events(sequences, MOST_CASES)
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
    """The competing items of each case: the highest scores by the weights without signals.

    A target that is not among them stays out: put among them, it would be told by its low score.
    """
    experts, items = model.experts, model.architecture.items
    assert experts is not None
    popular = experts.popularity() if POPULARITY in experts.shape.names else None
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
        score = experts.combine(deep, probabilities, popular, experts.base[None])
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


def combined(experts: Experts, evidence: Evidence) -> torch.Tensor:
    """Scores of the competing items, [C, Q]; `MASKED_SCORE` for those that are none."""
    gates = experts.gates(evidence.signals)
    scores = experts.combine(evidence.deep, evidence.probabilities, evidence.popular, gates)
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
