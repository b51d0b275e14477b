"""Experts: tables of counts inside a recommender, and the gates that weigh them.

A sequence model learns badly from few events what a table of counts knows exactly; a table does not
know when to ask it. Each expert m gives every item b a probability p_m(b) from the history, and

    score(b) = g_0 · deep(b) + Σ_m g_m · f(p_m(b) / ε_m),   f(x) = log(1 + x) or `root`,

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

from decant.features.encode import LONGEST_AGE, MOMENT, MOST_LAG
from decant.params.types import EXPERTS, REPEATS, TABLES

CHAIN, BASKET, PREVIOUS, TOGETHER, RECENCY, FREQUENCY, POPULARITY = EXPERTS

LAGS, AGES = MOMENT  # inputs, see `encode.basket_lags` and `encode.age_seconds`
OPEN, BEFORE = 1, 2  # lags of the open basket and of the one before it
HOUR = 3600.0  # seconds

BACK = 5  # baskets back from which a chain starts
# weight per basket back
DECAYS = {CHAIN: 0.5, PREVIOUS: 0.9, TOGETHER: 0.95, RECENCY: 0.7, FREQUENCY: 1.0}

LEVELS = 8  # per factor of two, of a stored probability: level 255 is 1, level 0 as good as 0
STEP = math.log(2) / LEVELS
LOWEST = math.exp(-255 * STEP)
MOST_DECODED = 2_500_000  # numbers that are decoded once, on loading, and not for each request
ROOT = 8
CODES = 127  # of a stored factor: from -127 to 127 parts of the row's scale
HIDDEN = 16
SMALLEST = 1e-9
LEAST = 1e-3  # constant weight of the network: less, or a negative one, is as good as none


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
        if not self.gated:
            return (LAGS,) if self.asked else ()
        return (LAGS, AGES) if self.clock else (LAGS,)

    @property
    def asked(self) -> tuple[str, ...]:
        """Experts whose answer depends on the history: all but popularity."""
        return tuple(name for name in self.names if name != POPULARITY)

    @property
    def repeats(self) -> tuple[str, ...]:
        """Experts that know what a user took before."""
        return tuple(name for name in self.names if name in REPEATS)

    @property
    def repeated(self) -> bool:
        """Whether gates read what of the open basket was taken before."""
        return bool(self.repeats) and BASKET in self.names

    @property
    def signals(self) -> tuple[str, ...]:
        """Names of what the gates read."""
        known = tuple(f"{what} of {name}" for what in ("mass", "top") for name in self.asked)
        pause = ("pause",) if self.clock else ()
        again = ("repeats in the basket",) if self.repeated else ()
        return (
            *("basket is open", "size of the basket", "events before", "last item", *pause),
            *(*again, *known),
        )

    @property
    def by_itself(self) -> int:
        """How many signals come before those that are probabilities by an expert."""
        return len(self.signals) - 2 * len(self.asked) - self.repeated


def probability(levels: Tensor) -> Tensor:
    """Stored levels → probabilities."""
    return torch.exp(levels.float() * STEP + math.log(LOWEST))


def root(scaled: Tensor) -> Tensor:
    """(1 + x)^⅛: `ROOT` times it is nearly `ROOT` + log(1 + x) (Box and Cox 1964), and ranks as
    well. For every item of a catalogue it takes ONNX Runtime two thirds of a logarithm's time."""
    return torch.sqrt(torch.sqrt(torch.sqrt(1 + scaled)))


def index_type(largest: int) -> torch.dtype:
    """The narrowest type of a stored index."""
    return torch.int16 if largest <= torch.iinfo(torch.int16).max else torch.int32


def lag_weights(shape: ExpertShape) -> Tensor:
    """The weight of an event by its lag, [`MOST_LAG` + 1, A or A + 2]: in every expert but
    popularity; for gates also whether it is in the open basket, and before it. Lag 0 is padding."""
    lag = torch.arange(MOST_LAG + 1).float()
    opened, before = (lag == OPEN).float(), (lag >= BEFORE).float()
    columns = {name: before * decay ** (lag - BEFORE) for name, decay in DECAYS.items()}
    columns[CHAIN] = ((lag >= OPEN) & (lag < BEFORE + BACK)) * DECAYS[CHAIN] ** (lag - OPEN)
    columns[BASKET] = opened
    columns[TOGETHER] = (lag >= OPEN) * DECAYS[TOGETHER] ** (lag - OPEN)
    read = [opened, before] if shape.gated else []
    none = [torch.zeros(len(lag), 0)]
    taken = [*(columns[name] for name in shape.asked), *read]
    return torch.cat([*none, *(column[:, None] for column in taken)], dim=1)


class Experts(nn.Module):
    """The experts of one model. All of it is stored in buffers: training the network beside it
    changes nothing here, and the gates are fitted on their own, see `distillation.gates`.

    `levels` uint8 [N + 1, K · (L + 1)]: probabilities of the successors listed for an item in each
    table, and then the scale of its factors; `places` int16 or int32 [N + 1, K · L]: the
    successors, of table k plus k · (N + 1); `left` int8 [N + 1, K · R]: factors of an item, in
    `CODES` parts of the scale; `right` int8 [R, N + 1]: those of what follows, one set for all
    tables, in parts of `step` [R, 1] times the root of the item's probability; `popular` uint8
    [N + 1]: probabilities; `scale` [1]: scores times this are logits of probabilities.
    """

    levels: Tensor
    places: Tensor
    left: Tensor
    right: Tensor
    step: Tensor
    popular: Tensor
    mean: Tensor
    spread: Tensor
    base: Tensor
    scale: Tensor
    offset: Tensor
    inner: Tensor
    inner_bias: Tensor
    outer: Tensor
    by_lag: Tensor

    def __init__(self, shape: ExpertShape, items: int) -> None:
        super().__init__()
        self.shape, self.items = shape, items
        tables, gates, rows = len(shape.tables), len(shape.names) + 1, items + 1
        listed = torch.zeros(rows, tables * shape.successors, dtype=index_type(tables * rows))
        buffers = {
            "levels": torch.zeros(rows, tables * (shape.successors + 1), dtype=torch.uint8),
            "places": listed,
            "left": torch.zeros(rows, tables * shape.factors, dtype=torch.int8),
            "right": torch.zeros(shape.factors, rows, dtype=torch.int8),
            "step": torch.ones(shape.factors, 1),
            "popular": torch.zeros(rows, dtype=torch.uint8),
            "mean": torch.zeros(len(shape.signals)),
            "spread": torch.ones(len(shape.signals)),
            "base": torch.zeros(gates),
            "scale": torch.ones(1),
            "offset": torch.full((len(shape.names),), 9.0),  # -log ε
            "inner": torch.zeros(len(shape.signals), HIDDEN),
            "inner_bias": torch.zeros(HIDDEN),
            "outer": torch.zeros(HIDDEN, gates),
        }
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer)
        self.register_buffer("by_lag", lag_weights(shape), persistent=False)
        self.base[0] = 1.0

    @property
    def gate_buffers(self) -> list[Tensor]:
        """What is fitted: gates without signals, -log ε, and the network of the signals."""
        return [self.base, self.offset, self.inner, self.inner_bias, self.outer]

    def forward(self, deep: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Scores of the network [B, N + 1] → scores of everything together.

        `batch`: int [B, T] `items`, and those of `ExpertShape.inputs`. As `combine` of what
        `answer` says, but repeats are computed at the items of the history only, and the
        probabilities are scaled before they become one for each item of the catalogue. Without
        signals the network's weight is 1, see `normalise`.
        """
        s, items, scale = self.shape, batch["items"], torch.exp(self.offset)
        sizes = [1, len(s.tables), len(s.repeats), len(s.names) - len(s.asked)]
        scores, gates, followed, repeated = deep, self.base[None], None, None
        if s.inputs:
            sums, shares = self._shares(batch[LAGS], scale[: len(s.asked)])
            followed, repeated = self._tables(items, shares), self._repeats(items, shares)
        if s.gated:
            read = self._signals(batch, sums, shares, followed, repeated)
            gates = self.gates(read, scale[: len(s.asked)])
        network, of_tables, own, of_popularity = gates.split(sizes, dim=1)
        if s.gated:
            scores = network * deep
        if followed is not None:
            scores = scores + (ROOT * of_tables[:, None] @ root(followed)).squeeze(1)
        if POPULARITY in s.names:
            scores = scores + of_popularity * torch.log1p(self.popularity() * scale[-1])
        if repeated is not None:
            added = (torch.log1p(repeated) @ own[..., None])[..., 0]
            # an item taken twice has one sum at both places
            scores = scores.scatter(1, items, scores.gather(1, items) + added)
        return scores

    def combine(
        self, deep: Tensor, probabilities: Tensor, popular: Tensor | None, gates: Tensor
    ) -> Tensor:
        """The network's scores [B, Q], experts' probabilities [B, A, Q], those of popularity [Q] or
        [B, Q], weights [B, 1 + M] or [1, 1 + M] → scores [B, Q]."""
        scale = torch.exp(self.offset)
        asked, tables = len(self.shape.asked), len(self.shape.tables)
        scores = gates[:, :1] * deep
        if asked:
            scaled = probabilities * scale[:asked, None]
            known = [ROOT * root(scaled[:, :tables]), torch.log1p(scaled[:, tables:])]
            scores = scores + (gates[:, None, 1 : 1 + asked] @ torch.cat(known, dim=1))[:, 0]
        if popular is not None:
            scores = scores + gates[:, -1:] * torch.log1p(popular * scale[-1])
        return scores

    def gates(self, signals: Tensor, scale: Tensor | None = None) -> Tensor:
        """Signals [B, S] → the weight of the network and of each expert, [B, 1 + M], or if they are
        constant [1, 1 + M]. `scale` [A]: what experts' probabilities in the signals were multiplied
        with."""
        if not self.shape.gated:
            return self.base[None]
        each = 1 / self.spread
        bias = self.inner_bias - (self.mean * each) @ self.inner
        if scale is not None and self.shape.asked:
            first = self.shape.by_itself
            each = torch.cat([each[:first], each[first:] / self._per_signal(scale)])
        return self.base + torch.relu(signals @ (each[:, None] * self.inner) + bias) @ self.outer

    def _per_signal(self, scale: Tensor) -> Tensor:
        """The scale [A] of every signal that is a probability."""
        basket = [scale[self.shape.asked.index(BASKET)][None]] if self.shape.repeated else []
        return torch.cat([*basket, scale, scale])

    def normalise(self) -> None:
        """Scale constant weights so that the network has 1, in place: ranks stay."""
        if not self.shape.gated:
            self.base /= self.base[0].clamp(min=LEAST)
            self.base[0] = 1.0

    def answer(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Probabilities by each expert that is asked, [B, A, N + 1], 0 where it knows nothing; and
        the signals of the gates before they are standardised, [B, S]."""
        s, items = self.shape, batch["items"]
        sums, shares = self._shares(batch[LAGS], torch.ones_like(self.offset[: len(s.asked)]))
        followed, repeated = self._tables(items, shares), self._repeats(items, shares)
        again = self.offset.new_zeros(items.shape[0], len(s.repeats), self.items + 1)
        if repeated is not None:
            places = items[:, None].expand(-1, len(s.repeats), -1)
            again = again.scatter(2, places, repeated.transpose(1, 2))
            again[:, :, 0] = 0
        probabilities = again if followed is None else torch.cat([followed, again], dim=1)
        if not s.gated:
            return probabilities, self.offset.new_zeros(items.shape[0], len(s.signals))
        return probabilities, self._signals(batch, sums, shares, followed, repeated)

    def popularity(self) -> Tensor:
        """The probability of each item, [N + 1]."""
        return probability(self.popular)

    def _shares(self, lags: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """The sums over the events of the weights of `lag_weights`, [B, A or A + 2], and the share
        of each event in every expert times the expert's `scale` [A], [B, T, A]."""
        weights, asked = functional.embedding(lags, self.by_lag), len(self.shape.asked)
        sums = weights.sum(1)
        own, total = weights, sums
        if self.shape.gated:
            own, total = weights[..., :asked], sums[:, :asked]
        return sums, own * (scale / total.clamp(min=SMALLEST))[:, None]

    def _tables(self, items: Tensor, shares: Tensor) -> Tensor | None:
        """Items [B, T] and shares [B, T, A] → what follows by every table, [B, K, N + 1]."""
        s, tables = self.shape, len(self.shape.tables)
        if not tables:
            return None
        if self.levels.numel() + self.left.numel() <= MOST_DECODED:
            stored = functional.embedding(items, self._decoded(self.levels, self.left))
            places = functional.embedding(items, self.places.long())
        else:
            rows = functional.embedding(items, self.levels), functional.embedding(items, self.left)
            stored = self._decoded(*rows)
            places = functional.embedding(items, self.places).long()
        known = stored.view(*items.shape, tables, -1) * shares[..., :tables, None]
        right = self.right.float() * (self.step * self.popularity().sqrt())
        dense = known[..., s.successors :].sum(1) @ right
        values = known[..., : s.successors].flatten(1)
        joined = dense.flatten(1).scatter_add(1, places.flatten(1), values)
        return torch.relu(joined).unflatten(1, (tables, -1))

    def _decoded(self, levels: Tensor, left: Tensor) -> Tensor:
        """Rows [..., K · (L + 1)] of `levels` and [..., K · R] of `left` → probabilities of the
        successors and factors, [..., K · (L + R)]."""
        s, tables = self.shape, len(self.shape.tables)
        stored = probability(levels).unflatten(-1, (tables, -1))
        scaled = left.float().unflatten(-1, (tables, -1)) * (stored[..., s.successors :] / CODES)
        return torch.cat([stored[..., : s.successors], scaled], dim=-1).flatten(-2)

    def _repeats(self, items: Tensor, shares: Tensor) -> Tensor | None:
        """Items [B, T] and shares [B, T, A] → shares in repeats of all events of each item, alike,
        [B, T, R']."""
        if not self.shape.repeats:
            return None
        same = items[:, :, None] == items[:, None]
        return same.to(shares.dtype) @ shares[..., len(self.shape.tables) :]

    def _signals(
        self,
        batch: dict[str, Tensor],
        sums: Tensor,
        shares: Tensor,
        followed: Tensor | None,
        repeated: Tensor | None,
    ) -> Tensor:
        """What the gates read, [B, S]; see `_shares`, `_tables` and `_repeats`. Probabilities in it
        are scaled as `shares` are."""
        items, s, asked = batch["items"], self.shape, len(self.shape.asked)
        events = sums[:, asked:]
        last = functional.embedding(items[:, -1], (self.popularity() * self.items)[:, None])
        amounts = [events, last]
        if s.clock:
            past = batch[LAGS] >= BEFORE
            pause = torch.where(past, batch[AGES], LONGEST_AGE).amin(1, keepdim=True)
            amounts.append(pause.float() / HOUR)
        read = [events[:, :1].clamp(max=1), torch.log1p(torch.cat(amounts, dim=1))]
        if s.repeated and repeated is not None:
            basket = shares[..., s.asked.index(BASKET)]
            read.append((torch.sign(repeated[..., 0]) * basket).sum(1, keepdim=True))
        mass, top = [], []
        if followed is not None:
            mass, top = [followed.sum(2)], [followed.amax(2)]
        if repeated is not None:
            mass.append(shares[..., len(s.tables) :].sum(1))
            top.append(repeated.amax(1))
        return torch.cat([*read, *mass, *top], dim=1)
