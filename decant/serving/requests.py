"""Request and answer formats, and the path from a request's bytes to an answer's.

The HTTP service and `decant recommend` share this code, so that they answer alike.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import numpy as np
import orjson

from decant.features.values import EARLIEST, LATEST, plain_text
from decant.params.release import Serve
from decant.runtime.engine import (
    MOST_NAMES,
    NAN,
    Answer,
    Family,
    History,
    RequestError,
)
from decant.suggest import SHOWN, suggest

MAX_BODY = 1_000_000  # bytes
MAX_EVENTS = Serve().max_events  # events read of one history, by default
DEFAULT_K = 10

Attribute = str | int | float | bool | None
ItemId = str | int | float


class MalformedError(RequestError):
    """The bytes are not JSON."""


class HistoryEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One behaviour of the user on an item; a plain item id is accepted instead."""

    item: Annotated[ItemId, msgspec.Meta(description="the item's id")]
    behaviour: Annotated[
        str | None, msgspec.Meta(description="such as view or purchase; default: the weakest one")
    ] = None
    time: Annotated[
        float | str | None,
        msgspec.Meta(
            description="seconds since 1970, or ISO 8601 (UTC unless it names a zone). "
            "Events are sorted by it; those without a time follow, in the order of the list"
        ),
    ] = None
    rating: Annotated[
        float | None,
        msgspec.Meta(description="the user's rating, for models with the input `rating`"),
    ] = None


class RecommendRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user: raw attributes and history."""

    user: Annotated[
        dict[str, msgspec.Raw],
        msgspec.Meta(
            description="raw attributes, all optional",
            extra_json_schema={
                "additionalProperties": {"type": ["string", "number", "boolean", "null"]}
            },
        ),
    ] = {}
    history: Annotated[
        list[str | int | float | HistoryEvent],
        msgspec.Meta(
            description="item ids or events, oldest first; empty for a new user. Of a long "
            "history only the newest events, at the end of the list, are read"
        ),
    ] = []
    k: Annotated[
        int,
        msgspec.Meta(
            description="number of items, up to the size of the catalogue",
            extra_json_schema={"minimum": 1},
        ),
    ] = DEFAULT_K
    now: Annotated[
        float | str | None,
        msgspec.Meta(
            description="the moment to recommend for, like the times of events, none of which may "
            "be later; default: the server's clock. Where a shop's baskets are sets, events of "
            "this very moment are the basket to be filled, and its items are not recommended again"
        ),
    ] = None


class ScoredItem(msgspec.Struct, frozen=True):
    """A recommended item; scores of different students are not comparable."""

    item: Annotated[str, msgspec.Meta(description="the item's id")]
    score: Annotated[
        float,
        msgspec.Meta(description="the student's score; the higher, the better, on no fixed scale"),
    ]


class RecommendAnswer(msgspec.Struct, frozen=True):
    """The best items, best first; fewer than k if the user has seen almost all items."""

    items: Annotated[list[ScoredItem], msgspec.Meta(description="the best items, best first")]
    student: Annotated[
        str,
        msgspec.Meta(
            description="the model that answered; `popular` if no item of the history is known: "
            "the segment's most popular items"
        ),
    ]
    segment: Annotated[str, msgspec.Meta(description="the group whose rule matched the user")]
    release: Annotated[str, msgspec.Meta(description="id of the release that answered")]
    unknown_items: Annotated[
        list[str],
        msgspec.Meta(
            description=f"items of the history that the release does not know, at most {MOST_NAMES}"
        ),
    ]
    unknown_attributes: Annotated[
        list[str],
        msgspec.Meta(
            description="attributes of the user that the release does not use, at most "
            f"{MOST_NAMES}"
        ),
    ]
    unknown_values: Annotated[
        list[str],
        msgspec.Meta(
            description="attributes whose value the release does not know, such as `female` if it "
            "knows `F`; the models treat them as missing"
        ),
    ]
    unknown_events: Annotated[
        int, msgspec.Meta(description="number of ignored events of unknown items")
    ]
    older_events: Annotated[
        int, msgspec.Meta(description="number of ignored events, older than those read")
    ]


_decoder = msgspec.json.Decoder(RecommendRequest)
_attribute = msgspec.json.Decoder(Attribute)


def respond(family: Family, body: bytes, max_events: int = MAX_EVENTS) -> bytes:
    """Request JSON → answer JSON; see `ask`."""
    return encode(ask(family, body, max_events))


def ask(family: Family, body: bytes, max_events: int = MAX_EVENTS) -> Answer:
    """Answer a request's JSON, from the newest `max_events` of its history.

    Raises:
        RequestError: the request is invalid; one line says why.
    """
    request = decode(body)
    events, now = history(request, max_events), moment(request)
    return family.recommend(attributes(request), events, request.k, now)


def encode(answer: Answer) -> bytes:
    """An answer's JSON."""
    return orjson.dumps(to_wire(answer))


def decode(body: bytes) -> RecommendRequest:
    """Request JSON → request, with undecoded attributes.

    Raises:
        MalformedError: it is not JSON. RequestError: an invalid key or type.
    """
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise RequestError(_explain(str(error))) from None
    except RecursionError:
        raise RequestError("user: an attribute is nested too deeply, expected a scalar") from None
    except ValueError as error:  # msgspec's, or invalid UTF-8
        problem = "it is empty" if not body.strip() else str(error)
        raise MalformedError(f"the body is not valid JSON: {problem}") from None


def attributes(request: RecommendRequest) -> dict[str, Attribute]:
    """The user's attributes.

    Raises:
        RequestError: one is a list or an object.
    """
    values = {}
    for name, written in request.user.items():
        try:
            values[name] = _attribute.decode(written)
        except msgspec.ValidationError as error:
            raise RequestError(f"user.{name[:SHOWN]}: {_lower(str(error))}") from None
        except ValueError as error:
            problem = f"the body is not valid JSON: user.{name[:SHOWN]}: {error}"
            raise MalformedError(problem) from None
    return values


def history(request: RecommendRequest, max_events: int = MAX_EVENTS) -> History:
    """The newest events in the engine's format, with the number of older ones.

    Raises:
        RequestError: an invalid time.
    """
    older = max(0, len(request.history) - max_events)
    items: list[str] = []
    behaviours: list[str | None] = []
    times: list[float] = []
    ratings: list[float] = []
    for number, given in enumerate(request.history[older:], start=older):
        if isinstance(given, HistoryEvent):
            item, behaviour, time, rating = given.item, given.behaviour, given.time, given.rating
            if isinstance(time, str):
                time = _parsed(f"history[{number}].time", time)
        else:
            item, behaviour, time, rating = given, None, None, None
        items.append(item if isinstance(item, str) else plain_text(item) or "")
        behaviours.append(behaviour)
        times.append(NAN if time is None else time)
        ratings.append(NAN if rating is None else rating)
    events = History(items, behaviours, np.array(times), np.array(ratings), older)
    _check_times(request, events)
    return events


def moment(request: RecommendRequest) -> float | None:
    """The moment to recommend for, in seconds since the epoch; None: the clock's.

    Raises:
        RequestError: it is not a time.
    """
    given = request.now
    if given is None:
        return None
    now = _parsed("now", given) if isinstance(given, str) else given
    if not EARLIEST <= now < LATEST:
        raise RequestError(_unlikely("now", given))
    return now


def to_wire(answer: Answer) -> dict[str, Any]:
    """An answer as a JSON document."""
    pairs = zip(answer.items, answer.scores, strict=True)
    return {
        "items": [{"item": item, "score": score} for item, score in pairs],
        "student": answer.student,
        "segment": answer.segment,
        "release": answer.release,
        "unknown_items": answer.unknown_items,
        "unknown_attributes": answer.unknown_attributes,
        "unknown_values": answer.unknown_values,
        "unknown_events": answer.unknown_events,
        "older_events": answer.older_events,
    }


def _check_times(request: RecommendRequest, history: History) -> None:
    wrong = np.flatnonzero((history.times < EARLIEST) | (history.times >= LATEST))
    if not len(wrong):
        return
    number = history.older + int(wrong[0])
    given = request.history[number]
    assert isinstance(given, HistoryEvent), "an id alone has no time"
    raise RequestError(_unlikely(f"history[{number}].time", given.time))


def _unlikely(place: str, given: float | str | None) -> str:
    shown = f"{given:.15g}" if isinstance(given, float) else f"`{given}`"[:SHOWN]
    return (
        f"{place} is {shown}, not from 1990 to 2099; expected seconds since 1970 "
        "(not milliseconds), or a time such as 2026-03-01T12:00:00Z"
    )


def _parsed(place: str, time: str) -> float:
    try:
        moment = datetime.fromisoformat(time.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise RequestError(
            f"{place}: `{time[:SHOWN]}` is not a time; expected seconds since 1970, "
            "or a time such as 2026-03-01T12:00:00Z"
        ) from None


_MESSAGE = re.compile(r"(?P<problem>.*?)(?: - at `(?P<path>.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>.*)`", re.DOTALL)


def _explain(message: str) -> str:
    """Rephrase msgspec's message; suggests a similar key for an unknown one."""
    match = _MESSAGE.fullmatch(message)
    assert match
    path = (match["path"] or "").removeprefix("$").removeprefix(".")
    unknown = _UNKNOWN.fullmatch(match["problem"])
    if unknown:
        kind = HistoryEvent if path.startswith("history[") else RecommendRequest
        key, place = unknown["key"], f" in {path}" if path else ""
        hint = suggest(key, kind.__struct_fields__, also_list=True)
        return f"unknown key `{key[:SHOWN]}`{place}; {hint}"
    return f"{path or 'the body'}: {_lower(match['problem'])}"


def _lower(problem: str) -> str:
    problem = problem.replace("`", "")
    return problem[:1].lower() + problem[1:]
