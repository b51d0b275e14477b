"""A request's bytes are decoded strictly, and what is wrong is said in one line."""

import json
from typing import Any

import orjson
import pytest

from decant.serving.engine import Event, RequestError
from decant.serving.requests import MAX_EVENTS, MalformedError, decode, events, respond


def history(*given: Any) -> list[Event]:
    return events(decode(orjson.dumps({"history": list(given)})))


def test_an_empty_request_has_defaults() -> None:
    request = decode(b"{}")
    assert (request.user, request.history, request.k) == ({}, [], 10)


def test_an_event_may_be_an_id_alone() -> None:
    assert history("a", 7, {"item": 8}) == [Event("a"), Event("7"), Event("8")]


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        (1767225600, 1767225600.0),
        (0.5, 0.5),
        ("2026-01-01T00:00:00Z", 1767225600.0),
        ("2026-01-01T01:00:00+01:00", 1767225600.0),
        ("2026-01-01 00:00", 1767225600.0),
        ("2026-01-01", 1767225600.0),
        (None, None),
    ],
)
def test_a_time_is_seconds_or_iso_8601(time: Any, seconds: float | None) -> None:
    event = {"item": "a", "behaviour": "view", "time": time, "rating": 4}
    assert history(event) == [Event("a", "view", seconds, 4.0)]


@pytest.mark.parametrize(
    "body",
    [b"", b"  ", b"nul", b'{"k": 1', b'{"k": 1}}', b'{"k": NaN}', b'{"user": {"a": "\xff"}}',
     b'{"user": {"a": "\\ud800"}}', b"\xef\xbb\xbf{}"],
    ids=range(9),
)  # fmt: skip
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        decode(body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "the body: expected object, got array"),
        ([[[]]] * 1000, "the body: expected object, got array"),
        ({"k": "3"}, "k: expected int, got str"),
        ({"k": True}, "k: expected int, got bool"),
        ({"k": 1.5}, "k: expected int, got float"),
        ({"user": None}, "user: expected object, got null"),
        (
            {"user": {"gender": "F", "age": [1]}},
            "user.age: expected bool | int | float | str | null, got array",
        ),
        ({"history": "a"}, "history: expected array, got str"),
        ({"history": ["a", None]}, "history[1]: expected int | str | object, got null"),
        ({"history": [{"behaviour": "view"}]}, "history[0]: object missing required field item"),
        (
            {"history": ["a", {"item": "a", "rating": "5"}]},
            "history[1].rating: expected float | null, got str",
        ),
        ({"histroy": []}, "unknown key `histroy`; did you mean `history`? known: user, history, k"),
        (
            {"history": ["a", {"item": "a", "tme": 1}]},
            "unknown key `tme` in history[1]; did you mean `time`? "
            "known: item, behaviour, time, rating",
        ),
        (
            {"history": [{"item": "a", "time": 1767225600000}]},
            "history[0].time is 1.76723e+12; seconds are meant, not milliseconds",
        ),
        (
            {"history": [{"item": "a", "time": "soon"}]},
            "history[0].time: `soon` is not a time; write 2026-03-01T12:00:00Z, or seconds since "
            "the epoch",
        ),
        (
            {"history": ["a"] * (MAX_EVENTS + 1)},
            f"history has {MAX_EVENTS + 1} events; send the newest {MAX_EVENTS}",
        ),
    ],
    ids=range(16),
)
def test_a_wrong_key_or_type_is_named(body: Any, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        events(decode(orjson.dumps(body)))
    assert str(caught.value) == message
    assert not isinstance(caught.value, MalformedError)


def test_the_answer_is_json(tiny: Any) -> None:
    body = {"user": {"gender": "M"}, "history": ["item-03", "gone"], "k": 2}
    answer = json.loads(respond(tiny.family, orjson.dumps(body)))
    batch = {"items": [3], "behaviours": [1], "gaps": [0], "attributes": [2, 0]}
    assert [scored["item"] for scored in answer.pop("items")] == tiny.answer(batch, k=2)
    assert answer == {
        "student": "general",
        "segment": "general",
        "release": "0123456789abcdef",
        "unknown_items": ["gone"],
        "unknown_attributes": [],
        "unknown_values": [],
    }


@pytest.mark.parametrize("value", [10**40, -1.5e300, "", "28", True, None])
def test_any_scalar_is_an_attribute(tiny: Any, value: Any) -> None:
    body = json.dumps({"user": {"age": value, "gender": value}}).encode()
    assert json.loads(respond(tiny.family, body))["student"] == "general"
