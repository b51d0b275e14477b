"""What goes over the wire, and the one way from a request's bytes to an answer's.

The HTTP service and `decant recommend` both call `respond`, so they answer alike.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import orjson

from decant.serving.engine import SHOWN, Answer, Event, Family, RequestError, did_you_mean

MAX_BODY = 1_000_000  # bytes
MAX_EVENTS = 10_000  # of one history
LAST_SECOND = 253_402_300_799.0  # of the year 9999, since the epoch
DEFAULT_K = 10
AN_ATTRIBUTE = "user[...]"  # what msgspec calls any of them

Attribute = str | int | float | bool | None
ItemId = str | int


class MalformedError(RequestError):
    """The bytes are not JSON."""


class HistoryEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One behaviour of the user on one item; `item` alone may stand for it."""

    item: Annotated[ItemId, msgspec.Meta(description="the item's id")]
    behaviour: Annotated[
        str | None, msgspec.Meta(description="such as view or purchase; none: the weakest there is")
    ] = None
    time: Annotated[
        float | str | None,
        msgspec.Meta(
            description="seconds since the epoch, or ISO 8601 (UTC unless it names a zone). "
            "Events are put in order by it; those without one follow in the order given"
        ),
    ] = None
    rating: float | None = None


class RecommendRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who asks: raw attributes, and what they did so far."""

    user: Annotated[
        dict[str, Attribute], msgspec.Meta(description="raw attributes, none of them required")
    ] = {}
    history: Annotated[
        list[str | int | HistoryEvent],
        msgspec.Meta(
            description="item ids or events, the oldest first; empty for a new user",
            extra_json_schema={"maxItems": MAX_EVENTS},
        ),
    ] = []
    k: Annotated[
        int,
        msgspec.Meta(
            description="how many items, up to the catalogue's size",
            extra_json_schema={"minimum": 1},
        ),
    ] = DEFAULT_K


class ScoredItem(msgspec.Struct, frozen=True):
    """A recommended item; scores of different students cannot be compared."""

    item: str
    score: float


class RecommendAnswer(msgspec.Struct, frozen=True):
    """The best items, best first; fewer than k where the user has seen nearly everything."""

    items: list[ScoredItem]
    student: Annotated[str, msgspec.Meta(description="the model that answered")]
    segment: Annotated[str, msgspec.Meta(description="the group whose rule matched the user")]
    release: str
    unknown_items: Annotated[
        list[str], msgspec.Meta(description="items of the history that the release does not know")
    ]
    unknown_attributes: Annotated[
        list[str], msgspec.Meta(description="attributes of the user that the release does not use")
    ]
    unknown_values: Annotated[
        list[str],
        msgspec.Meta(
            description="attributes whose value the release does not know, such as `female` where "
            "it knows `F`; the models take them as not given"
        ),
    ]


_decoder = msgspec.json.Decoder(RecommendRequest)


def respond(family: Family, body: bytes) -> bytes:
    """A request's JSON → the answer's JSON.

    Raises:
        RequestError: one clear line about what is wrong with the request.
    """
    request = decode(body)
    answer = family.recommend(request.user, events(request), request.k)
    return orjson.dumps(to_wire(answer))


def decode(body: bytes) -> RecommendRequest:
    """A request's JSON → the request.

    Raises:
        MalformedError: it is not JSON. RequestError: a key or a type is wrong.
    """
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        problem = _explain(str(error))
        if problem.startswith(AN_ATTRIBUTE):
            problem = f"user.{_nested(body)}{problem.removeprefix(AN_ATTRIBUTE)}"
        raise RequestError(problem) from None
    except ValueError as error:  # msgspec's own, or broken UTF-8
        problem = "it is empty" if not body.strip() else str(error)
        raise MalformedError(f"the body is not valid JSON: {problem}") from None


def events(request: RecommendRequest) -> list[Event]:
    """The history as the engine takes it.

    Raises:
        RequestError: too long, or a time that is none.
    """
    if len(request.history) > MAX_EVENTS:
        raise RequestError(
            f"history has {len(request.history)} events; send the newest {MAX_EVENTS}"
        )
    return [_event(number, given) for number, given in enumerate(request.history)]


def to_wire(answer: Answer) -> dict[str, Any]:
    """An answer as the JSON document that is sent."""
    pairs = zip(answer.items, answer.scores, strict=True)
    return {
        "items": [{"item": item, "score": score} for item, score in pairs],
        "student": answer.student,
        "segment": answer.segment,
        "release": answer.release,
        "unknown_items": answer.unknown_items,
        "unknown_attributes": answer.unknown_attributes,
        "unknown_values": answer.unknown_values,
    }


def _event(number: int, given: str | int | HistoryEvent) -> Event:
    if not isinstance(given, HistoryEvent):
        return Event(str(given))
    time = None if given.time is None else _seconds(number, given.time)
    return Event(str(given.item), given.behaviour, time, given.rating)


def _seconds(number: int, time: float | str) -> float:
    where = f"history[{number}].time"
    if isinstance(time, float):
        if abs(time) > LAST_SECOND:
            raise RequestError(f"{where} is {time:g}; seconds are meant, not milliseconds")
        return time
    try:
        moment = datetime.fromisoformat(time.strip())
    except ValueError:
        raise RequestError(
            f"{where}: `{time[:SHOWN]}` is not a time; write 2026-03-01T12:00:00Z, or seconds "
            "since the epoch"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _nested(body: bytes) -> str:
    """Name of the first attribute that is a list or an object."""
    try:
        user = msgspec.json.decode(body)["user"]
        name = next(name for name, value in user.items() if isinstance(value, list | dict))
    except (ValueError, StopIteration):  # broken further on, or wrong in another way
        return "*"
    return str(name)[:SHOWN]


_MESSAGE = re.compile(r"(?P<problem>.*?)(?: - at `(?P<path>.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>.*)`", re.DOTALL)


def _explain(message: str) -> str:
    """msgspec's message in our words, and what is near a key."""
    found = _MESSAGE.fullmatch(message)
    assert found
    path = (found["path"] or "").removeprefix("$").removeprefix(".")
    unknown = _UNKNOWN.fullmatch(found["problem"])
    if unknown:
        kind = HistoryEvent if path.startswith("history[") else RecommendRequest
        known = kind.__struct_fields__
        key, place = unknown["key"], f" in {path}" if path else ""
        hint = did_you_mean(key, known)
        return f"unknown key `{key[:SHOWN]}`{place}; {hint}known: {', '.join(known)}"
    problem = found["problem"].replace("`", "")
    return f"{path or 'the body'}: {problem[:1].lower()}{problem[1:]}"
