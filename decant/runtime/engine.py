"""The inference engine: a release in memory that answers requests with the best items.

Imports neither torch nor pandas. Shapes: N items; index 0 is padding; T events; A attributes.
"""

import itertools
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from decant.features.encode import (
    Encoder,
    Events,
    encode_events,
    right_align,
    tidy,
)
from decant.features.segments import (
    COMPUTED,
    GENERAL,
    HISTORY_LENGTH,
    TASTE,
    route,
)
from decant.features.values import attribute_value, clean, identifier, possible
from decant.params.types import POPULAR
from decant.runtime.loading import Read, check_answer, empty_batch, full_batch, load_models, reader
from decant.runtime.ranking import top_items
from decant.runtime.router import (
    ENCODER,
    ROUTER,
    read_popular,
    read_router,
    read_rules,
    read_taste,
)
from decant.runtime.session import ATTRIBUTES
from decant.suggest import SHOWN, suggest

NAN = float("nan")
MOST_NAMES = 100  # listed in an answer


class StudentFailedError(ValueError):
    """A student failed on a request although it passed its check."""

    def __init__(self, student: str, release: str, error: Exception) -> None:
        problem = " ".join(str(error).split()) or type(error).__name__
        super().__init__(
            f"student {student} of release {release} cannot answer this request: {problem}"
        )


class RequestError(ValueError):
    """An invalid request; the message describes the problem."""


@dataclass(frozen=True)
class Event:
    """One behaviour in a request's history.

    `behaviour` None: the weakest one. `time`: seconds since the epoch, None if unknown; events
    without a time follow all others, in the given order.
    """

    item: str
    behaviour: str | None = None
    time: float | None = None
    rating: float | None = None


@dataclass(frozen=True)
class History:
    """A request's events as columns of equal length: those of `Event`, with NaN for None.

    `older`: number of earlier events that are not read.
    """

    items: list[str]
    behaviours: list[str | None]
    times: np.ndarray
    ratings: np.ndarray
    older: int = 0

    @staticmethod
    def from_events(events: Iterable[Event]) -> "History":
        """The columns of some events."""
        listed = list(events)
        return History(
            [event.item for event in listed],
            [event.behaviour for event in listed],
            np.array([NAN if event.time is None else event.time for event in listed]),
            np.array([NAN if event.rating is None else event.rating for event in listed]),
        )


@dataclass(frozen=True)
class Answer:
    """Recommendations and their provenance: release, segment and student.

    Fewer than k items if the user has seen all others. `segment` is the rule that matched;
    `student` is general if the segment has no student of its own. The first `MOST_NAMES` unknown
    names are listed; `unknown_events` counts events of unknown items, `older_events` those too old
    to be read.
    """

    items: list[str]
    scores: list[float]
    student: str
    segment: str
    release: str
    unknown_items: list[str] = field(default_factory=list)
    unknown_attributes: list[str] = field(default_factory=list)
    unknown_values: list[str] = field(default_factory=list)  # names of attributes
    unknown_events: int = 0
    older_events: int = 0


class Family:
    """One release (or candidate) in memory: the encoder, the router, a model per student."""

    def __init__(
        self, files: Read | Path, release: str, threads: int = 1, *, tried: bool = False
    ) -> None:
        """Load the students in the router: general, and those of all segments not merged into it.

        Args:
            files: a folder, or a function that reads a file and verifies its hash.
            tried: whether a child process has already loaded the same bytes.

        Raises:
            BundleError: a model is missing, modified or for another encoder.
            EncoderError, RuleError: the encoder or a rule of the router is invalid.
            ContentError, OSError: raised by `files`.
        """
        self.release = release
        self.loaded_at = time.time()
        read_file = reader(files) if isinstance(files, Path) else files
        self.encoder = Encoder.parse(ENCODER, read_file(ENCODER))
        router = read_router(read_file(ROUTER))
        self.rules = read_rules(router)
        self.models = load_models(read_file, router, self.encoder, threads, tried=tried)
        self.students = sorted(self.models)
        self.item_index = self.encoder.item_index
        self.popular = read_popular(router, self.item_index)
        read = (rule.attributes for rule in self.rules)
        self.taste = read_taste(router, len(self.encoder.items))
        computed = {HISTORY_LENGTH} if self.taste is None else {*COMPUTED}
        self.attributes = {*self.encoder.attributes}.union(*read) - computed
        self._behaviours = {name: i for i, name in enumerate(self.encoder.behaviours, start=1)}
        self._ids = np.array(["", *self.encoder.items], dtype=object)

    def recommend(
        self,
        user: Mapping[str, Any],
        history: History | Iterable[Event],
        k: int,
        now: float | None = None,
    ) -> Answer:
        """The `k` best items for a user with these raw attributes and this history.

        `now`: the moment to recommend for, in seconds since the epoch; None: the clock's, or the
        newest event's, if that is later. Models with a clock read how long ago each event was;
        events of this very moment are the open basket, if the release has baskets.

        Items and attributes unknown to the release are ignored and listed in the answer, as are
        attributes with an unknown or impossible value. A history without known items is equivalent
        to an empty one.

        Raises:
            RequestError: k out of range, an unknown behaviour, or an event after `now`.
        """
        if not 1 <= k <= len(self.encoder.items):
            raise RequestError(
                f"k is {k}; it must be from 1 to {len(self.encoder.items)}, the catalogue's size"
            )
        if not isinstance(history, History):
            history = History.from_events(history)
        given, unknown_attributes = self._attributes(user)
        moment = moment_of(history, now)
        known = {n: value if possible(n, value) else None for n, value in given.items()}
        indices = np.fromiter(map(self._item, history.items), np.int64, len(history.items))
        events = tidy(self.encoder, self._events(history, indices))
        batch = encode_request(self.encoder, known, events, moment)
        length = len(events.items) + history.older
        read = dict(zip(self.encoder.attributes, batch[ATTRIBUTES][0], strict=True))
        facts: dict[str, Any] = {**known, HISTORY_LENGTH: length}
        if self.taste is not None:
            facts[TASTE] = self.taste.group(events.items)
        segment = route(self.rules, facts)
        student, scores = self._score(segment, batch, len(events.items))
        top = top_items(scores, self._masked(events, moment, scores.shape[1]), k)[0]
        top = top[top > 0]
        left_out = [history.items[place] for place in np.flatnonzero(indices == 0)]
        return Answer(
            items=self._ids[top].tolist(),
            scores=scores[0, top].tolist(),
            student=student,
            segment=segment,
            release=self.release,
            unknown_items=_shown(left_out),
            unknown_attributes=_shown(unknown_attributes),
            unknown_values=[
                name
                for name, value in given.items()
                if value is not None and (known[name] is None or not read.get(name, 1))
            ],
            unknown_events=len(left_out),
            older_events=history.older,
        )

    def warm_up(self) -> None:
        """Answer an empty request and the longest one, so that the first user need not wait.

        Raises:
            BundleError: a model fails, or returns scores of another catalogue.
        """
        self._try(empty_batch(self.encoder))
        self.try_length(self.encoder.max_length)

    def try_length(self, length: int) -> None:
        """Answer a history of the given length with every student.

        Raises:
            BundleError: a model fails, or returns scores of another catalogue.
        """
        self._try(full_batch(self.encoder, length))

    def _try(self, batch: dict[str, np.ndarray]) -> None:
        for student, model in self.models.items():
            check_answer(student, model, batch, len(self.encoder.items))

    def _score(
        self, segment: str, batch: dict[str, np.ndarray], events: int
    ) -> tuple[str, np.ndarray]:
        """The name of the model used, and its scores, float32 [1, N + 1].

        Without events, popularity in the segment is used: models only predict what follows a
        history. Releases of older versions lack these lists.
        """
        if not events and segment in self.popular:
            return POPULAR, self.popular[segment]
        student = segment if segment in self.models else GENERAL
        try:
            return student, self.models[student].scores(batch)
        except Exception as error:  # the runtime's own errors have no common base
            raise StudentFailedError(student, self.release, error) from error

    def _attributes(self, user: Mapping[str, Any]) -> tuple[dict[str, str | None], list[str]]:
        """The attributes that the release uses, in canonical form; the names of all others."""
        known, others = {}, []
        for name, value in user.items():
            attribute = name if name in self.attributes else clean(name)
            if attribute in self.attributes:
                known[attribute] = attribute_value(value, self.encoder.missing)
            else:
                others.append(name)
        return known, others

    def _item(self, name: str) -> int:
        """Index of an item, 0 if unknown."""
        index = self.item_index.get(name)
        return self.item_index.get(identifier(name) or "", 0) if index is None else index

    def _events(self, history: History, indices: np.ndarray) -> Events:
        """The events of known items, in the given order.

        Raises:
            RequestError: a behaviour is unknown, even if the item is unknown too.
        """
        behaviours = {name: self._behaviour(name) for name in set(history.behaviours)}
        size = len(indices)
        events = Events(
            users=np.zeros(size, dtype=np.int64),
            items=indices,
            behaviours=np.fromiter(map(behaviours.__getitem__, history.behaviours), np.int64, size),
            times=history.times.astype(np.float64),
            ratings=history.ratings.astype(np.float64),
        )
        return events if indices.all() else events.take(np.flatnonzero(indices))

    def _masked(self, events: Events, now: float, width: int) -> np.ndarray:
        """Items that are no candidates, bool [1, width]; see `sequences.masked_items`."""
        masked = np.zeros((1, width), dtype=bool)
        masked[0, 0] = True
        if self.encoder.exclude_seen:
            masked[0, events.items] = True
        elif self.encoder.baskets:
            masked[0, events.items[events.times == now]] = True
        return masked

    def _behaviour(self, name: str | None) -> int:
        if name is None:
            return 1
        index = self._behaviours.get(name) or self._behaviours.get(clean(name))
        if index is None:
            hint = suggest(name, self.encoder.behaviours, also_list=True, listed=MOST_NAMES)
            raise RequestError(f"unknown behaviour `{name[:SHOWN]}`; {hint}")
        return index


def moment_of(history: History, now: float | None) -> float:
    """The moment to recommend for, seconds since the epoch.

    Raises:
        RequestError: the history has an event after `now`.
    """
    timed = history.times[~np.isnan(history.times)]
    newest = float(timed.max()) if len(timed) else -math.inf
    if now is None:
        return max(time.time(), newest)
    if newest > now:
        place = history.older + int(np.nanargmax(history.times))
        raise RequestError(
            f"now is {now:.15g}, but history[{place}].time is {newest:.15g}: a history ends before "
            "the moment to recommend for"
        )
    return now


def encode_request(
    encoder: Encoder, user: Mapping[str, Any], history: Events, now: float = NAN
) -> dict[str, np.ndarray]:
    """One user's tidy events and raw attributes → model inputs, int64 [1, T] and [1, A].

    `now`: see `encode_events`.
    """
    encoded = encode_events(encoder, history, now)
    length = max(1, len(encoded["items"]))
    batch = {name: right_align([column], length) for name, column in encoded.items()}
    batch[ATTRIBUTES] = encoder.attribute_indices(user)[None]
    return batch


def _shown(names: Iterable[str]) -> list[str]:
    """The first distinct names, each truncated for display."""
    return [name[:SHOWN] for name in itertools.islice(dict.fromkeys(names), MOST_NAMES)]
