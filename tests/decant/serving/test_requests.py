"""A request's bytes are decoded strictly, and what is wrong is said in one line."""

import json
import math
import time as clock
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from decant.features.encode import Attribute
from decant.runtime.engine import Event, RequestError
from decant.serving.requests import MalformedError, attributes, decode, history, moment, respond


def events(*given: Any, most: int = 100) -> list[Event]:
    """What is read of a history, event by event."""
    result = history(decode(orjson.dumps({"history": list(given)})), most)
    columns = result.items, result.behaviours, result.times, result.ratings
    return [
        Event(item, behaviour, *(None if math.isnan(x) else x for x in (time, rating)))
        for item, behaviour, time, rating in zip(*columns, strict=True)
    ]


def test_an_empty_request_has_defaults() -> None:
    request = decode(b"{}")
    assert (request.user, request.history, request.k) == ({}, [], 10)


def test_an_event_may_be_an_id_alone() -> None:
    assert events("a", 7, {"item": 8}) == [Event("a"), Event("7"), Event("8")]


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        (1767225600, 1767225600.0),
        (1767225600.5, 1767225600.5),
        ("20260101", 1767225600.0),
        ("2026-01-01T00:00:00Z", 1767225600.0),
        ("2026-01-01T01:00:00+01:00", 1767225600.0),
        ("2026-01-01 00:00", 1767225600.0),
        ("2026-01-01", 1767225600.0),
        (None, None),
    ],
)
def test_a_time_is_seconds_or_iso_8601(time: Any, seconds: float | None) -> None:
    event = {"item": "a", "behaviour": "view", "time": time, "rating": 4}
    assert events(event) == [Event("a", "view", seconds, 4.0)]


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock shows the time of Tokyo."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        clock.tzset()
        yield
    clock.tzset()


@pytest.mark.usefixtures("far_east")
def test_a_time_without_a_zone_is_utc_wherever_the_service_runs() -> None:
    assert clock.localtime(0).tm_hour == 9
    assert events({"item": "a", "time": "2026-01-01T00:00:00"})[0].time == 1767225600.0


@pytest.mark.parametrize(
    ("time", "shown"),
    [
        (1767225600000, "1767225600000"),
        (2e11, "200000000000"),
        (20260301, "20260301"),
        (0, "0"),
        (-1.5, "-1.5"),
        ("1812-06-24", "`1812-06-24`"),
        ("9999-12-31T23:59:59Z", "`9999-12-31T23:59:59Z`"),
    ],
)
def test_a_time_of_no_plausible_year_is_refused(time: Any, shown: str) -> None:
    with pytest.raises(RequestError) as caught:
        events("a", {"item": "b", "time": time})
    assert str(caught.value).startswith(
        f"history[1].time is {shown}, not from 1990 to 2099; expected seconds"
    )


@pytest.mark.parametrize(
    ("now", "moment_"),
    [
        (1_772_000_000, 1_772_000_000.0),
        ("2026-02-25T06:13:20Z", 1_772_000_000.0),
        ("2026-02-25T07:13:20+01:00", 1_772_000_000.0),
        (None, None),
    ],
)
def test_now_is_written_like_the_times_of_events(now: Any, moment_: float | None) -> None:
    assert moment(decode(orjson.dumps({"now": now}))) == moment_


@pytest.mark.parametrize(
    ("now", "problem"),
    [
        (1_772_000_000_000, "now is 1772000000000, not from 1990 to 2099; expected seconds"),
        (0, "now is 0, not from 1990"),
        ("soon", "now: `soon` is not a time; expected seconds since 1970"),
    ],
)
def test_a_now_that_is_no_moment_is_refused(now: Any, problem: str) -> None:
    with pytest.raises(RequestError) as caught:
        moment(decode(orjson.dumps({"now": now})))
    assert str(caught.value).startswith(problem)


def test_of_a_long_history_the_newest_are_read_and_the_others_counted() -> None:
    request = decode(orjson.dumps({"history": [f"i{n}" for n in range(7)]}))
    result = history(request, 3)
    assert (result.items, result.older) == (["i4", "i5", "i6"], 4)
    with pytest.raises(RequestError, match=r"history\[6\].time"):
        history(decode(orjson.dumps({"history": ["a"] * 6 + [{"item": "b", "time": "x"}]})), 3)


@pytest.mark.parametrize(
    "body",
    [b"", b"  ", b"nul", b'{"k": 1', b'{"k": 1}}', b'{"k": NaN}', b'{"user": {"a": "\xff"}}',
     b'{"user": {"a": "\\ud800"}}', b"\xef\xbb\xbf{}"],
    ids=range(9),
)  # fmt: skip
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        attributes(decode(body))


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
        ({"history": ["a", None]}, "history[1]: expected int | float | str | object, got null"),
        ({"history": [{"behaviour": "view"}]}, "history[0]: object missing required field item"),
        (
            {"history": ["a", {"item": "a", "rating": "5"}]},
            "history[1].rating: expected float | null, got str",
        ),
        (
            {"histroy": []},
            "unknown key `histroy`; did you mean `history`? known: user, history, k, now",
        ),
        (
            {"history": ["a", {"item": "a", "tme": 1}]},
            "unknown key `tme` in history[1]; did you mean `time`? "
            "known: item, behaviour, time, rating",
        ),
        (
            {"history": [{"item": "a", "time": "soon"}]},
            "history[0].time: `soon` is not a time; expected seconds since 1970, or a time such as "
            "2026-03-01T12:00:00Z",
        ),
        ({"user": {"a": {"b": 1}}}, "user.a: expected bool | int | float | str | null, got object"),
    ],
    ids=range(15),
)
def test_a_wrong_key_or_type_is_named(body: Any, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        request = decode(orjson.dumps(body))
        attributes(request)
        history(request)
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
        "unknown_events": 1,
        "older_events": 0,
    }


@pytest.mark.parametrize("depth", [2, 900, 50_000, 400_000])
@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"b":', "}")])
@pytest.mark.parametrize("place", ['{"user": {"a": %s}}', '{"user": {"a": 1, "a": %s}}'])
def test_an_attribute_that_is_nested_is_one_line_however_deep(
    tiny: Any, depth: int, left: str, right: str, place: str
) -> None:
    body = (place % (left * depth + "1" + right * depth)).encode()
    with pytest.raises(RequestError, match=r"^user(\.a)?: ") as caught:
        respond(tiny.family, body)
    assert not isinstance(caught.value, MalformedError)


@pytest.mark.parametrize("value", [True, "true", "True", " TRUE"])
def test_a_truth_value_of_a_request_is_one_however_it_is_written(tiny: Any, value: Any) -> None:
    premium = Attribute(values=("false", "true"))
    family = tiny.with_encoder(attributes={"premium": premium, "age": Attribute(edges=())})
    body = json.dumps({"user": {"premium": value}}).encode()
    assert json.loads(respond(family, body))["unknown_values"] == []


@pytest.mark.parametrize("value", [10**40, -1.5e300, "", "28", True, None])
def test_any_scalar_is_an_attribute(tiny: Any, value: Any) -> None:
    body = json.dumps({"user": {"age": value, "gender": value}}).encode()
    assert json.loads(respond(tiny.family, body))["student"] == "general"


def test_ids_that_are_numbers_are_read_as_in_tables() -> None:
    body = b'{"history": [12, 12.0, 1.25e1, {"item": 3e3}, 1e16]}'
    assert history(decode(body)).items == ["12", "12", "12.5", "3000", "10000000000000000"]
