"""The sequence recommender: one class for teacher and students, pruned or whole.

Shapes: B sequences, T positions, N items, d = dimension, h heads of width w, A attributes.
A pre-norm transformer; the item table is tied between input and output. It is either causal and
predicts the next item at each position (`next`), or bidirectional and predicts masked positions
(`masked`, the cloze task of BERT4Rec, Sun et al. 2019); a mask at the end then predicts the next
item.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from decant.models import clock
from decant.models.experts import AGES, Experts, ExpertShape

NEXT, MASKED = "next", "masked"
MASKED_SCORE = -1e9  # of masked positions; finite, so that no row becomes NaN


@dataclass(frozen=True)
class Architecture:
    """The shape of a model.

    `heads` and `hidden` are per layer, since pruning may leave layers of different widths;
    `attribute_sizes`: the number of indices of each user attribute; `vector_widths`: the width of
    each kind of content vectors in the inputs, such as `text` or `image`; `experts`: tables of
    counts beside the network, None for the network alone.
    """

    items: int
    dimension: int
    heads: tuple[int, ...]
    head_width: int
    hidden: tuple[int, ...]
    max_length: int
    inputs: tuple[str, ...]
    behaviours: int = 0
    ratings: int = 0
    gaps: int = 0
    attribute_sizes: tuple[int, ...] = ()
    vector_widths: tuple[tuple[str, int], ...] = ()
    dropout: float = 0.0
    objective: str = NEXT
    id_dropout: float = 0.0
    experts: ExpertShape | None = None

    def to_dict(self) -> dict[str, object]:
        return {name: value for name, value in asdict(self).items() if value is not None}

    @staticmethod
    def from_dict(content: dict[str, object]) -> "Architecture":
        values: dict[str, Any] = {name: _tuples(value) for name, value in content.items()}
        if values.get("experts"):
            shape: dict[str, Any] = {n: _tuples(value) for n, value in values["experts"].items()}
            values["experts"] = ExpertShape(**shape)
        return Architecture(**values)

    @property
    def event_inputs(self) -> tuple[str, ...]:
        """Names of the per-event arrays the network reads."""
        optional = {"behaviour": "behaviours", "rating": "ratings", "gap": "gaps", "clock": AGES}
        return ("items", *(array for name, array in optional.items() if name in self.inputs))

    @property
    def request_inputs(self) -> tuple[str, ...]:
        """Names of the per-event arrays of a request: the network's, and the experts'."""
        experts = self.experts.inputs if self.experts else ()
        return (*self.event_inputs, *(name for name in experts if name not in self.event_inputs))

    @property
    def clock(self) -> bool:
        """Whether the network reads how long before the next event each event was."""
        return "clock" in self.inputs

    @property
    def masked(self) -> bool:
        """Whether it is bidirectional and predicts masked positions."""
        return self.objective == MASKED


class ItemVectors(nn.Module):
    """Content vectors of the items, float [N + 1, W], projected to the model's dimension."""

    vectors: Tensor

    def __init__(self, vectors: Tensor, dimension: int) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors)
        self.projection = nn.Linear(vectors.shape[1], dimension, bias=False)

    def forward(self) -> Tensor:
        """[N + 1, d]; zero where an item has no vector."""
        return self.projection(self.vectors)


class Attention(nn.Module):
    """Self-attention with plain linear projections, which can be quantised.

    Positions enter as a learned bias per head and distance (Raffel et al. 2020, without buckets).
    `bias` [h, length]: distance 0 is last, larger distances back come before it; if bidirectional,
    [h, 2 · length - 1] with distances ahead after it. `elapsed` [h, buckets]: with a clock, the
    same by the time from an event to the one to predict, see `models.clock`.
    """

    def __init__(
        self,
        dimension: int,
        heads: int,
        width: int,
        length: int,
        *,
        both_ways: bool = False,
        clock_read: bool = False,
    ) -> None:
        super().__init__()
        self.heads, self.width, self.length, self.both_ways = heads, width, length, both_ways
        self.query = nn.Linear(dimension, heads * width, bias=False)
        self.key = nn.Linear(dimension, heads * width, bias=False)
        self.value = nn.Linear(dimension, heads * width, bias=False)
        self.out = nn.Linear(heads * width, dimension, bias=False)
        self.bias = nn.Parameter(torch.zeros(heads, 2 * length - 1 if both_ways else length))
        self.elapsed = nn.Parameter(torch.zeros(heads, clock.BUCKETS)) if clock_read else None

    def forward(
        self, x: Tensor, padding: Tensor, last: bool, elapsed: Tensor | None = None
    ) -> Tensor:
        """x [B, T, d] → the same; `last`: the last position only → [B, 1, d].

        `padding` float [B, 1, 1, T]: `MASKED_SCORE` at padding, else 0. `elapsed` int [B, T, T], or
        [B, 1, T] for the last position: buckets of the time from each event to the next event at
        each position.
        """
        length = x.shape[1]
        q = self._split(self.query(x[:, -1:] if last else x))
        k, v = self._split(self.key(x)), self._split(self.value(x))
        bias = self._last_bias(length) if last else self._bias(length)
        scores = (q * self.width**-0.5) @ k.transpose(2, 3) + bias + padding
        if self.elapsed is not None and elapsed is not None:
            # head by head: the gradient of wider rows takes twenty times as long
            by_bucket = self.elapsed.index_select(1, elapsed.flatten())
            scores = scores + by_bucket.unflatten(1, elapsed.shape).transpose(0, 1)
        weights = torch.softmax(scores, dim=-1)
        return self.out((weights @ v).transpose(1, 2).flatten(2))

    def _last_bias(self, length: int) -> Tensor:
        """[h, 1, T]: the bias of every distance back from the last position."""
        return self.bias[:, self.length - length : self.length].unsqueeze(1)

    def _bias(self, length: int) -> Tensor:
        """[h, T, T]: the bias of every distance; positions ahead are masked if causal."""
        if self.bias.device.type != "cpu":
            return self._bias_by_rows(length)
        place = torch.arange(length, device=self.bias.device)
        back = place[:, None] - place[None]
        bias = self.bias[:, self.length - 1 - (back if self.both_ways else back.clamp(min=0))]
        return bias if self.both_ways else bias.masked_fill(back < 0, MASKED_SCORE)

    def _bias_by_rows(self, length: int) -> Tensor:
        """The same without a lookup: each row is the previous one, shifted by one position.

        On a GPU the gradient of a lookup with many equal indices is summed serially, which took
        longer than everything else together.
        """
        first = self.length - length
        if self.both_ways:
            row = self.bias[:, first : self.length + length - 1]
        else:
            row = functional.pad(self.bias[:, first:], (0, length - 1), value=MASKED_SCORE)
        return row.unfold(1, length, 1).flip(1)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, self.width)).transpose(1, 2)


class Dropout(nn.Module):
    """Dropout (Srivastava et al. 2014) at a rate in 256ths.

    On a CPU torch draws numbers one by one on one thread; drawing a byte per element takes an
    eighth of the draws.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.dropped = round(256 * rate)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.dropped:
            return x
        if x.device.type != "cpu":
            return functional.dropout(x, self.dropped / 256)
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= self.dropped
        return x * (kept.to(x.dtype) * (256 / (256 - self.dropped)))


class FeedForward(nn.Module):
    """Two linear layers with a ReLU in between."""

    def __init__(self, dimension: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(dimension, hidden)
        self.down = nn.Linear(hidden, dimension)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(functional.relu(self.up(x)))


class Block(nn.Module):
    """Attention and feed-forward, each after a norm and with a residual connection."""

    def __init__(self, a: Architecture, layer: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(a.dimension)
        length = a.max_length + a.masked  # the history, and the mask after it
        self.attention = Attention(
            a.dimension,
            a.heads[layer],
            a.head_width,
            length,
            both_ways=a.masked,
            clock_read=a.clock,
        )
        self.feed_norm = nn.LayerNorm(a.dimension)
        self.feed = FeedForward(a.dimension, a.hidden[layer])
        self.dropout = Dropout(a.dropout)

    def forward(
        self, x: Tensor, padding: Tensor, last: bool = False, elapsed: Tensor | None = None
    ) -> Tensor:
        mixed = self.attention(self.attention_norm(x), padding, last, elapsed)
        x = (x[:, -1:] if last else x) + self.dropout(mixed)
        return x + self.dropout(self.feed(self.feed_norm(x)))


class Recommender(nn.Module):
    """Maps sequences of events to a score for every item."""

    def __init__(
        self, architecture: Architecture, vectors: Mapping[str, Tensor] | None = None
    ) -> None:
        """`vectors`: float [N + 1, W] by name, see `vector_widths`; zero until loaded."""
        super().__init__()
        a = self.architecture = architecture
        d = a.dimension
        self.item = nn.Embedding(a.items + 1, d)
        self.bias = nn.Parameter(torch.zeros(a.items + 1))
        self.events = nn.ModuleDict(
            {
                array: nn.Embedding(size, d)
                for array, size in (
                    ("behaviours", a.behaviours),
                    ("ratings", a.ratings),
                    ("gaps", a.gaps),
                    (AGES, clock.BUCKETS),
                )
                if array in a.event_inputs
            }
        )
        self.mask = nn.Parameter(0.02 * torch.randn(d)) if a.masked else None
        reads_attributes = "attributes" in a.inputs
        self.attributes = nn.ModuleList(
            nn.Embedding(size, d) for size in (a.attribute_sizes if reads_attributes else ())
        )
        given = vectors or {}
        self.vectors = nn.ModuleList(
            ItemVectors(given[name] if name in given else torch.zeros(a.items + 1, width), d)
            for name, width in a.vector_widths
        )
        self.dropout = Dropout(a.dropout)
        self.blocks = nn.ModuleList(Block(a, layer) for layer in range(len(a.heads)))
        self.norm = nn.LayerNorm(d)
        self.experts = None if a.experts is None else Experts(a.experts, a.items)
        self.apply(_initialise)

    def item_embeddings(self) -> Tensor:
        """Item embeddings [N + 1, d], including the projections of content vectors."""
        table: Tensor = self.item.weight
        if self.training and self.architecture.id_dropout:  # Volkovs et al. 2017
            kept = torch.rand(len(table), 1, device=table.device)
            table = table * (kept >= self.architecture.id_dropout)
        for kind in self.vectors:
            table = table + kind()
        return table

    def encode(self, batch: dict[str, Tensor], table: Tensor, last: bool = False) -> Tensor:
        """States [B, T, d], or [B, 1, d] of the last position. `batch`: int [B, T] per input.

        With the masked objective, item index N + 1 is the mask, and `last` is a mask appended to
        the history.
        """
        if self.mask is not None and last:
            batch = self._with_mask(batch)
        x = self.dropout(self._embed(batch, table))
        padding = MASKED_SCORE * (batch["items"] == 0)[:, None, None].to(x.dtype)
        spans = self._spans(batch, last and len(self.blocks) == 1)
        for block in self.blocks[:-1]:
            x = block(x, padding, elapsed=spans)
        if last and spans is not None:
            spans = spans[:, -1:]
        return self.norm(self.blocks[-1](x, padding, last, spans))

    def _spans(self, batch: dict[str, Tensor], last: bool) -> Tensor | None:
        """What `Attention` reads as `elapsed`; None without a clock."""
        if not self.architecture.clock:
            return None
        return clock.bucket(clock.elapsed(batch[AGES], last))

    def _with_mask(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Append a mask, an event with unknown inputs, to every sequence."""
        longer = {name: functional.pad(batch[name], (0, 1)) for name in self.events}
        items = functional.pad(batch["items"], (0, 1), value=self.architecture.items + 1)
        return {**batch, **longer, "items": items}

    def _embed(self, batch: dict[str, Tensor], table: Tensor) -> Tensor:
        """Input embeddings of each position, [B, T, d]."""
        items = batch["items"]
        if self.mask is None:
            x = functional.embedding(items, table)
        else:
            x = functional.embedding(items.clamp(max=self.architecture.items), table)
            x = torch.where((items > self.architecture.items).unsqueeze(2), self.mask, x)
        for array, embedding in self.events.items():
            index = clock.bucket(clock.pauses(batch[array])) if array == AGES else batch[array]
            x = x + embedding(index)
        for column, embedding in enumerate(self.attributes):
            x = x + embedding(batch["attributes"][:, column]).unsqueeze(1)
        return x

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Scores of every item after the last position, [B, N + 1]; index 0 is padding."""
        table = self.item_embeddings()
        scores = self.scores(self.encode(batch, table, last=True)[:, 0], table)
        return self.with_experts(scores, batch)

    def scores(self, states: Tensor, table: Tensor) -> Tensor:
        """States [..., d] → the network's scores [..., N + 1]."""
        return functional.linear(states, table, self.bias)

    def with_experts(self, scores: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """The network's scores [B, N + 1] → those of the model."""
        return scores if self.experts is None else self.experts(scores, batch)


def _tuples(value: object) -> object:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=module.in_features**-0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
