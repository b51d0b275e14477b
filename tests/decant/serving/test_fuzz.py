"""No request causes an error of ours: 200, or a 4xx of one line."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decant.commands.service import listen
from decant.runtime.engine import RequestError
from decant.serving.app import create_app
from decant.serving.limits import Limits, make_server
from decant.serving.reload import Current
from decant.serving.requests import MAX_BODY, respond

BOUNDED = settings(
    max_examples=200, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
NUMBERS = [
    *("0", "-0", "1e999", "-1e999", "1e-999", "NaN", "Infinity", "9" * 400, "0.1", "1.0", "01"),
    *("9223372036854775808", "-9223372036854775809", "1e400", "1.7e9", "1.7e12"),
]
STRINGS = [
    *('"item-03"', '""', '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '"e\\u0301"', '"\\u200b"'),
    *('"' + "x" * 100_000 + '"', '"\u202e"', '"view"', '"2026-03-01"', '"NaN"', '"\\x"'),
]
SCALARS = st.sampled_from([*NUMBERS, *STRINGS, "true", "false", "null", ""])
KEYS = st.sampled_from(["user", "history", "k", "item", "behaviour", "time", "rating", "age",
                        "gender", "USER", "", "\\u0000", "x" * 1000, "\u00e9"])  # fmt: skip


def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    lists = st.lists(inner, max_size=3).map(lambda parts: f"[{','.join(parts)}]")
    pairs = st.tuples(KEYS, inner).map(lambda pair: f'"{pair[0]}":{pair[1]}')
    return lists | st.lists(pairs, max_size=4).map(lambda parts: "{" + ",".join(parts) + "}")


VALUES = st.recursive(SCALARS, nested, max_leaves=8)
DEEP = st.builds(
    lambda depth, mark: mark[0] * depth + "1" + mark[1] * depth,
    st.sampled_from([3, 500, 1_100, 200_000]),
    st.sampled_from([("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")]),
)
EVENTS = st.one_of(
    VALUES, DEEP,
    st.builds(
        '{{"item":{},"behaviour":{},"time":{},"rating":{}}}'.format,
        SCALARS, SCALARS, SCALARS, SCALARS,
    ),
)  # fmt: skip
BODIES = st.one_of(
    VALUES,
    DEEP,
    st.builds(
        '{{"user":{},"history":[{}],"k":{}}}'.format,
        st.one_of(VALUES, DEEP, st.builds('{{"age":{},"age":{}}}'.format, VALUES, DEEP)),
        st.lists(EVENTS, max_size=3).map(",".join),
        SCALARS | st.just("3"),
    ),
    st.builds('{{"{}":{}}}'.format, KEYS, DEEP),
)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1", "cut"])


def encoded(text: str, encoding: str) -> bytes:
    if encoding == "cut":
        return text.encode("utf-8", "surrogatepass")[:-1]
    return text.encode(encoding, "replace")


@BOUNDED
@given(BODIES, ENCODINGS)
def test_no_body_causes_an_error_of_ours(tiny: Any, text: str, encoding: str) -> None:
    body = encoded(text, encoding)
    try:
        answer = json.loads(respond(tiny.family, body))
        assert answer["items"]
    except RequestError as error:
        assert str(error) and "\n" not in str(error).strip()
        assert len(str(error)) < 2_000


@BOUNDED
@given(st.binary(max_size=300))
def test_no_bytes_cause_an_error_of_ours(tiny: Any, body: bytes) -> None:
    try:
        respond(tiny.family, body)
    except RequestError as error:
        assert str(error)


@pytest.fixture(scope="module")
def port(shared_shop: Any) -> Iterator[int]:
    """A running service on a release, impatient with half-sent requests."""
    limits = Limits(connections=20, header=0.5, body=0.5, idle=0.5, shutdown=0.5)
    with listen("127.0.0.1", 0) as waiting:
        server = make_server(create_app(Current(shared_shop.source), 3600.0), limits)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [waiting]})
        thread.start()
        yield waiting.getsockname()[1]
        server.should_exit = True
        thread.join(20)


METHODS = st.sampled_from(["POST", "GET", "PUT", "HEAD", "OPTIONS", "TRACE", "post", "CONNECT", ""])
PATHS = st.sampled_from(["/recommend", "/healthz", "/docs", "/openapi.json", "/", "/%00", "/../etc",
                         "//recommend", "/recommend?k=1", "*", "http://x/recommend", "/\xe9",
                         "/" + "a" * 5000])  # fmt: skip
HEADER = [
    *("host: x", "content-type: text/plain", "transfer-encoding: chunked", "content-length: 0"),
    *("content-length: 5", "content-length: 999999999999", "content-length: -3"),
    *("content-length: x", f"content-length: {MAX_BODY + 1}", "expect: 100-continue"),
    *("connection: upgrade\r\nupgrade: websocket", "connection: close", "x: " + "y" * 3000),
    *("accept-encoding: gzip", "content-encoding: gzip", ": empty", "no colon"),
    "transfer-encoding: gzip",
]
HEADERS = st.lists(st.sampled_from(HEADER), max_size=4)
PAYLOADS = st.sampled_from(
    [
        *(b"", b"{}", b'5\r\n{"k":\r\n0\r\n\r\n', b"zz\r\n", b"ffffffffff\r\n{}", b"\x00" * 50),
        *(b'{"k": 3}', b"2\r\n{}\r\n0\r\n\r\n"),
    ]
)


@settings(BOUNDED, max_examples=120)
@given(METHODS, PATHS, HEADERS, PAYLOADS)
def test_no_oddity_of_http_causes_an_error_of_ours_or_a_hang(
    port: int, method: str, path: str, headers: list[str], payload: bytes
) -> None:
    lines = [f"{method} {path} HTTP/1.1", *headers, "", ""]
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as connection:
        connection.sendall("\r\n".join(lines).encode("latin-1") + payload)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except ConnectionResetError:
            return
    statuses = [
        int(line.split()[1]) for line in answer.splitlines() if line.startswith(b"HTTP/1.1 ")
    ]
    assert all(status < 500 or status == 503 for status in statuses), answer[:300]
