"""Experts: tables of counts inside a recommender, and the gates that weigh them.

A sequence model learns badly from few events what a table of counts knows exactly; a table does not
know when to ask it. Each expert m gives every item b a probability p_m(b) from the history, and

    score(b) = g_0 · deep(b) + Σ_m g_m · log(1 + p_m(b) / ε_m),

where the gates g are a small network of signals: the open basket, the pause before it, the length
of the history, and how much each expert knows. Logarithms are added in place of probabilities,
since the best item often has the support of several experts (a product of experts, Hinton 2002).

Shapes: B sequences, T positions, N items, M experts, K of which are tables, R factors, L listed
successors, S signals, H hidden units.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from decant.features.encode import LONGEST_AGE, MOMENT
from decant.params.types import EXPERTS, REPEATS, TABLES

CHAIN, BASKET, PREVIOUS, RECENCY, FREQUENCY, POPULARITY = EXPERTS

LAGS, AGES = MOMENT  # inputs, see `encode.basket_lags` and `encode.age_seconds`
OPEN, BEFORE = 1, 2  # lags of the open basket and of the one before it
HOUR = 3600.0  # seconds

BACK = 5  # baskets back from which a chain starts
MOST_LAG = 60  # baskets back; older ones weigh as much as these
DECAYS = {CHAIN: 0.5, PREVIOUS: 0.9, RECENCY: 0.7, FREQUENCY: 1.0}  # weight per basket back

LEVELS = 8  # per factor of two, of a stored probability: level 255 is 1, level 0 as good as 0
CODES = 127  # of a stored factor: from -127 to 127 parts of the row's scale
HIDDEN = 16
SMALLEST = 1e-9


@dataclass(frozen=True)
class ExpertShape:
    """Which experts a model has, and the size of their tables.

    `names`: a part of `EXPERTS` in that order. `successors`: listed per item and table. `factors`:
    rank of what the lists leave out. `clock`: whether gates read the pause. `gated`: whether
    weights depend on signals at all; constant ones need none of them.
    """

    names: tuple[str, ...]
    successors: int
    factors: int
    clock: bool
    gated: bool = True

    @property
    def tables(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if name in TABLES)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the arrays that experts read beside the items."""
        return (LAGS, AGES) if self.clock and self.gated else (LAGS,)

    @property
    def asked(self) -> tuple[str, ...]:
        """Experts whose answer depends on the history: all but popularity."""
        return tuple(name for name in self.names if name != POPULARITY)

    @property
    def signals(self) -> tuple[str, ...]:
        """Names of what the gates read."""
        known = tuple(f"{what} of {name}" for what in ("mass", "top") for name in self.asked)
        pause = ("pause",) if self.clock else ()
        again = () if self.repeated is None else ("repeats in the basket",)
        return (
            *("basket is open", "size of the basket", "events before", "last item", *pause),
            *(*again, *known),
        )

    @property
    def repeated(self) -> int | None:
        """The expert that says what of the open basket was taken before; None without both."""
        places = [n for n, name in enumerate(self.asked) if name in REPEATS]
        return places[0] if places and BASKET in self.names else None


def index_bytes(items: int) -> int:
    """Bytes of a stored item index."""
    return max(1, math.ceil(math.log2(items + 1) / 8))


def lag_weights(names: tuple[str, ...]) -> Tensor:
    """The weight of an event by its lag, [`MOST_LAG` + 1, M - 1 + 2]: in every expert but
    popularity, and whether it is in the open basket, and before it. Lag 0 is padding."""
    lag = torch.arange(MOST_LAG + 1).float()
    opened, before = (lag == OPEN).float(), (lag >= BEFORE).float()
    columns = {name: before * decay ** (lag - BEFORE) for name, decay in DECAYS.items()}
    columns[CHAIN] = ((lag >= OPEN) & (lag < BEFORE + BACK)) * DECAYS[CHAIN] ** (lag - OPEN)
    columns[BASKET] = opened
    return torch.stack([*(columns[n] for n in names if n != POPULARITY), opened, before], dim=1)


class Experts(nn.Module):
    """The experts of one model. All of it is stored in buffers: training the network beside it
    changes nothing here, and the gates are fitted on their own, see `distillation.gates`.

    `levels` uint8 [N + 1, K, L + 1]: probabilities of the successors listed for an item in each
    table, and the scale of its factors; `places` uint8 [N + 1, K, L, bytes]: the successors, the
    lowest byte first; `left` int8 [N + 1, K, R]: factors of an item, in `CODES` parts of the scale;
    `right` [R, N + 1]: those of what follows, one set for all tables; `popular` [N + 1]:
    probabilities.
    """

    levels: Tensor
    places: Tensor
    left: Tensor
    right: Tensor
    popular: Tensor
    mean: Tensor
    spread: Tensor
    base: Tensor
    offset: Tensor
    inner: Tensor
    inner_bias: Tensor
    outer: Tensor
    by_lag: Tensor
    by_byte: Tensor

    def __init__(self, shape: ExpertShape, items: int) -> None:
        super().__init__()
        self.shape, self.items = shape, items
        tables, gates, size = len(shape.tables), len(shape.names) + 1, index_bytes(items)
        buffers = {
            "levels": torch.zeros(items + 1, tables, shape.successors + 1, dtype=torch.uint8),
            "places": torch.zeros(items + 1, tables, shape.successors, size, dtype=torch.uint8),
            "left": torch.zeros(items + 1, tables, shape.factors, dtype=torch.int8),
            "right": torch.zeros(shape.factors, items + 1),
            "popular": torch.full((items + 1,), 1 / max(items, 1)),
            "mean": torch.zeros(len(shape.signals)),
            "spread": torch.ones(len(shape.signals)),
            "base": torch.zeros(gates),
            "offset": torch.full((len(shape.names),), 9.0),  # -log ε
            "inner": torch.zeros(len(shape.signals), HIDDEN),
            "inner_bias": torch.zeros(HIDDEN),
            "outer": torch.zeros(HIDDEN, gates),
        }
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer)
        self.register_buffer("by_lag", lag_weights(shape.names), persistent=False)
        self.register_buffer("by_byte", 256.0 ** torch.arange(size), persistent=False)
        self.base[0] = 1.0

    @property
    def gate_buffers(self) -> list[Tensor]:
        """What is fitted: gates without signals, -log ε, and the network of the signals."""
        return [self.base, self.offset, self.inner, self.inner_bias, self.outer]

    def forward(self, deep: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Scores of the network [B, N + 1] → scores of everything together.

        `batch`: int [B, T] `items`, and those of `ExpertShape.inputs`.
        """
        probabilities, signals = self.answer(batch)
        popular = self.popular if POPULARITY in self.shape.names else None
        return self.combine(deep, probabilities, popular, self.gates(signals))

    def combine(
        self, deep: Tensor, probabilities: Tensor, popular: Tensor | None, gates: Tensor
    ) -> Tensor:
        """The network's scores [B, Q], experts' probabilities [B, A, Q], those of popularity [Q] or
        [B, Q], weights [B, 1 + M] or [1, 1 + M] → scores [B, Q]."""
        scale = torch.exp(self.offset)
        asked = len(self.shape.asked)
        scores = gates[:, :1] * deep
        if asked:
            known = torch.log1p(probabilities * scale[:asked, None])
            scores = scores + (gates[:, None, 1 : 1 + asked] @ known)[:, 0]
        if popular is not None:
            scores = scores + gates[:, -1:] * torch.log1p(popular * scale[-1])
        return scores

    def gates(self, signals: Tensor) -> Tensor:
        """Signals [B, S] → the weight of the network and of each expert, [B, 1 + M], or if they are
        constant [1, 1 + M]."""
        if not self.shape.gated:
            return self.base[None]
        hidden = (signals - self.mean) / self.spread @ self.inner + self.inner_bias
        return self.base + torch.relu(hidden) @ self.outer

    def answer(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Probabilities by each expert that is asked, [B, A, N + 1], 0 where it knows nothing; and
        the signals of the gates before they are standardised, [B, S]."""
        items, lags = batch["items"], batch[LAGS]
        weights = functional.embedding(lags.clamp(max=MOST_LAG), self.by_lag)  # [B, T, A + 2]
        total = weights.sum(1)
        asked = len(self.shape.asked)
        shares = weights[..., :asked] / total[:, None, :asked].clamp(min=SMALLEST)
        probabilities = self.probabilities(items, shares)
        if not self.shape.gated:
            return probabilities, total.new_zeros(items.shape[0], len(self.shape.signals))
        signals = self.signals(batch, weights[..., asked], total[:, asked:], probabilities)
        return probabilities, signals

    def probabilities(self, items: Tensor, shares: Tensor) -> Tensor:
        """Items [B, T] and the share of each in every expert [B, T, A] → [B, A, N + 1]."""
        tables, width = len(self.shape.tables), self.items + 1
        start = torch.arange(0, len(self.shape.asked) * width, width, device=items.device)
        dense, values, places = [], [], []
        if tables:
            levels = self.levels[items].float()  # [B, T, K, L + 1]
            stored = torch.exp((levels - 255) * (math.log(2) / LEVELS))
            stored = stored * shares[..., :tables, None]
            codes = self.left[items].float()
            scale = stored[..., self.shape.successors :] / CODES
            left = (codes * scale).sum(1)  # [B, K, R]
            dense.append(left @ self.right)
            listed = (self.places[items].float() * self.by_byte).sum(-1).long()
            values.append(stored[..., : self.shape.successors].flatten(1))
            places.append((listed + start[:tables, None]).flatten(1))
        repeats = len(self.shape.asked) - tables
        if repeats:
            dense.append(torch.zeros_like(self.popular).expand(items.shape[0], repeats, width))
            values.append(shares[..., tables:].flatten(1))
            places.append((items[..., None] + start[tables:]).flatten(1))
        if not dense:
            return self.popular.new_zeros(items.shape[0], 0, width)
        flat = torch.cat(dense, dim=1).flatten(1)
        flat = flat.scatter_add(1, torch.cat(places, dim=1), torch.cat(values, dim=1))
        return torch.relu(flat).unflatten(1, (len(self.shape.asked), width))

    def signals(
        self, batch: dict[str, Tensor], opened: Tensor, events: Tensor, probabilities: Tensor
    ) -> Tensor:
        """What the gates read, [B, S].

        `opened` [B, T]: 1 in the open basket; `events` [B, 2]: their number, and of those before.
        """
        items, s = batch["items"], self.shape
        last = self.popular.index_select(0, items[:, -1]) * self.items
        amounts = [events, last[:, None]]
        if s.clock:
            past = batch[LAGS] >= BEFORE
            pause = torch.where(past, batch[AGES], LONGEST_AGE).amin(1, keepdim=True)
            amounts.append(pause.float() / HOUR)
        read = [events[:, :1].clamp(max=1), torch.log1p(torch.cat(amounts, dim=1))]
        if s.repeated is not None:
            again = (probabilities[:, s.repeated].gather(1, items) > 0).float() * opened
            read.append(again.sum(1, keepdim=True) / events[:, :1].clamp(min=1))
        if s.asked:
            read += [probabilities.sum(2), probabilities.amax(2)]
        return torch.cat(read, dim=1)
