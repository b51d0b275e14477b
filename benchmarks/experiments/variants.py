"""The ways to a student that are compared: what differs in its settings, what it starts from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from decant.params.models import Distill
from decant.params.types import GENERAL, TEACHER

KNOWLEDGE, UNAWARE, EVERYTHING = "knowledge", "unaware", "everything"
ATTRIBUTES, TASTE = "attributes", "taste"
UNDISTILLED, WORST, NARROW, LONGER = "undistilled", "worst", "narrow", "longer"
SEGMENT, ADAPTERS, PRIOR, ALONE, SHORT = "segment", "adapters", "prior", "alone", "short"
UNDISTILLED_ATTRIBUTES = "undistilled_attributes"
UNAWARE_LABELS, FROM_ATTRIBUTES = "unaware_labels", "from_attributes"
NARROW_SEGMENT = "narrow_segment"
NARROWER = 0.75  # of the dimension
HALF, RANK = 0.5, 8
SHRINKAGES = (300.0, 3000.0, 30000.0)  # events
PRIOR_WEIGHTS = (0.25, 0.5, 1.0)
HISTORIES = (1 / 8, 1 / 4, 1 / 2, 5 / 8)  # of what a model reads


@dataclass(frozen=True)
class Try:
    """One of the settings that every rival may try: times the learning rate, added dropout."""

    rate: float = 1.0
    dropout: float = 0.0

    def __str__(self) -> str:
        return f"{self.rate:g}x, dropout +{self.dropout:g}"


TRIES = (Try(), Try(dropout=0.1), Try(rate=0.5), Try(rate=2.0))  # in this order


@dataclass(frozen=True)
class Way:
    """How a student is made.

    `changes`: to the settings of `distill`; `aware`: does it read the user's attributes, None: if
    the settings say so; `width`: of the dimension;
    `start`: the way of the student that it goes on from, None: from scratch; `labels`: of which
    teacher, None: of none; `groups`: whose it is, by attributes or by taste; `tries`: the best
    by the picking half is kept.
    """

    text: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    aware: bool | None = False
    width: float = 1.0
    start: str | None = None
    labels: str | None = KNOWLEDGE
    groups: str = ATTRIBUTES
    tries: tuple[Try, ...] = TRIES

    def tried(self, count: int) -> tuple[Try, ...]:
        """Those of the first `count` tries that make a difference: a student that goes on from
        another keeps its dropout."""
        return tuple(t for t in self.tries[:count] if self.start is None or not t.dropout)

    def settings(self, base: Distill, tried: Try = TRIES[0]) -> Distill:
        """The settings of this way, as one of the tries changes them."""
        changes: dict[str, Any] = {
            **self.changes,
            "dropout": min(0.9, base.dropout + tried.dropout),
        }
        if self.aware is not None:
            others = [name for name in base.inputs if name != ATTRIBUTES]
            changes["inputs"] = [*others, ATTRIBUTES] if self.aware else others
        changes["dimension"] = base.heads * max(1, round(self.width * base.dimension / base.heads))
        if self.width != 1 or self.labels is None:  # no shape, or no teacher, to take layers from
            changes["start_layers"] = []
        if self.labels is None:
            changes["start_items"] = False
        learning = "learning_rate" if self.start is None else "segment_learning_rate"
        changes[learning] = min(1.0, tried.rate * getattr(base, learning))
        return Distill.model_validate({**base.model_dump(), **changes})


GENERAL_WAYS = {
    UNDISTILLED: Way(
        "of a student's size and steps, without knowledge of the teacher", labels=None
    ),
    GENERAL: Way("the general student"),
    WORST: Way(
        "the general student, taught by the half of each batch that it knows worst",
        {"worst": HALF},
    ),
    ATTRIBUTES: Way("the general student, which reads the user's attributes too", aware=True),
    UNDISTILLED_ATTRIBUTES: Way(
        "the same without knowledge of the teacher", aware=True, labels=None
    ),
    NARROW: Way("the family's general student, three quarters as wide", aware=None, width=NARROWER),
    LONGER: Way(
        "the general student, trained on for everybody with a segment's epochs and learning rate",
        start=GENERAL,
    ),
}
GROUP_WAYS = {
    SEGMENT: Way("the general student, trained on for the segment", start=GENERAL),
    UNAWARE_LABELS: Way(
        "the same, with the soft labels of a teacher that does not know the user's attributes",
        start=GENERAL, labels=UNAWARE,
    ),
    FROM_ATTRIBUTES: Way(
        "the general student that reads the attributes, trained on for the segment",
        aware=True, start=ATTRIBUTES,
    ),
    TASTE: Way(
        "the general student, trained on for one of as many clusters of taste",
        start=GENERAL, groups=TASTE,
    ),
    ADAPTERS: Way(
        "the general student with low-rank adapters trained for the segment",
        {"adapter_rank": RANK}, start=GENERAL,
    ),
    NARROW_SEGMENT: Way(
        "the narrow general student, trained on for the segment",
        aware=None, width=NARROWER, start=NARROW,
    ),
    ALONE: Way(
        "trained from scratch on the segment's own events", {"others": 0.0, "anchor": 0.0}
    ),
}  # fmt: skip


def of_losses(text: str, **weights: float) -> Way:
    """The general student with these weights of its losses alone, the rest hard labels; and
    where it starts."""
    none = {"soft_weight": 0.0, "list_weight": 0.0, "strata_weight": 0.0, "hidden_weight": 0.0,
            "relations_weight": 0.0, "temperature": 1.0, "start_layers": [],
            "start_items": False}  # fmt: skip
    return Way(text, {**none, **weights}, aware=None, labels=EVERYTHING, tries=TRIES[:1])


LOSS_WAYS = {
    "hard": of_losses("hard labels alone"),
    "soft_3": of_losses("soft labels, .3 of the loss", soft_weight=0.3),
    "soft_7": of_losses("soft labels, .7", soft_weight=0.7),
    "soft_9": of_losses("soft labels, .9", soft_weight=0.9),
    "soft_all": of_losses("soft labels alone", soft_weight=1.0),
    "warm": of_losses("soft labels, .7, temperature 2", soft_weight=0.7, temperature=2.0),
    "list": of_losses("a list, .7", list_weight=0.7),
    "soft_list": of_losses("soft labels, .5, and a list, .4", soft_weight=0.5, list_weight=0.4),
    "strata": of_losses("soft labels, .5, and strata, .2", soft_weight=0.5, strata_weight=0.2),
    "hidden": of_losses("soft labels, .7, and states", soft_weight=0.7, hidden_weight=0.3),
    "items": of_losses("soft labels, .7, from the item table", soft_weight=0.7, start_items=True),
    "relations": of_losses("soft labels, .7, relations", soft_weight=0.7, relations_weight=0.3),
}
UNTRAINED = {  # kinds for groups whose weights are those of a general student
    PRIOR: "the general student with the segment's popularity in its item bias",
    SHORT: "the family's general student, which reads no more of a history than the segment needs",
}
TEACHER_TEXT = "the teacher itself"
GENERAL_KINDS = {TEACHER: TEACHER_TEXT, **{name: way.text for name, way in GENERAL_WAYS.items()}}
GROUP_KINDS = {**{name: way.text for name, way in GROUP_WAYS.items()}, **UNTRAINED}


def way_of(name: str) -> Way | None:
    """The way that a rival is made by, a model for everybody or `kind@group`; None: another."""
    kind, _, group = name.partition("@")
    return (GROUP_WAYS if group else {**GENERAL_WAYS, **LOSS_WAYS}).get(kind)
