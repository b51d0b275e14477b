"""No client holds up another: every wait has an end, and a new connection finds room."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from decant.commands.service import listen
from decant.params.release import Serve
from decant.serving.app import create_app
from decant.serving.limits import (
    FEWEST,
    IDLE,
    LONGEST_HEADER,
    MOST_AHEAD,
    RESERVE,
    Gate,
    Limits,
    make_server,
    raise_file_limit,
)
from decant.serving.reload import Current

REPOSITORY = Path(__file__).resolve().parents[3]
BODY = b'{"history": ["item-03"], "k": 3}'
REQUEST = b"POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(BODY)
SHORT = Limits(connections=50, header=0.3, body=0.3, idle=0.3, shutdown=0.5)
LONG = Limits(connections=50, header=60, body=60, idle=60, shutdown=0.5)
PATIENCE = 20.0  # seconds that anything may take before a test gives up
Serving = Callable[..., Any]


@pytest.fixture
def serving(shop: Any) -> Serving:
    """Serve a release on a port of loopback, within limits; gives the port."""
    shop.promote(1)

    @contextmanager
    def start(limits: Limits) -> Iterator[int]:
        with listen("127.0.0.1", 0) as waiting:
            port = waiting.getsockname()[1]
            app = create_app(Current(shop.source), 3600.0, Serve())
            server = make_server(app, limits)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [waiting]})
            thread.start()
            try:
                yield port
            finally:
                server.should_exit = True
                thread.join(PATIENCE)
        assert not thread.is_alive()

    return start


def connect(port: int, sent: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection.sendall(sent)
    return connection


def received(connection: socket.socket) -> bytes:
    """Everything up to the end of the connection."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        parts.append(b"")
    return b"".join(parts)


def ask(port: int) -> int:
    return httpx.post(
        f"http://127.0.0.1:{port}/recommend", content=BODY, timeout=PATIENCE
    ).status_code


@pytest.mark.parametrize("sent", [b"", b"POST /recom", REQUEST[:40]])
def test_a_header_that_is_not_complete_in_time_ends_its_connection(
    serving: Serving, sent: bytes
) -> None:
    with serving(SHORT) as port, closing(connect(port, sent)) as slow:
        answer = received(slow)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"the header was not complete within 0.3 s" in answer
        assert ask(port) == 200


def test_a_body_that_is_not_complete_in_time_ends_its_connection(serving: Serving) -> None:
    with serving(SHORT) as port, closing(connect(port, REQUEST + BODY[:10])) as slow:
        answer = received(slow)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert json.loads(answer.split(b"\r\n\r\n")[1]) == {
            "error": "the body was not complete within 0.3 s"
        }
        assert ask(port) == 200


def test_a_byte_now_and_then_buys_no_time(serving: Serving) -> None:
    with serving(SHORT) as port, closing(connect(port, REQUEST)) as slow:
        began = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - began < PATIENCE:
                slow.sendall(b" ")
                time.sleep(0.02)
        assert ask(port) == 200


def test_an_idle_connection_is_closed(serving: Serving) -> None:
    with serving(SHORT) as port, closing(connect(port, REQUEST + BODY)) as idle:
        answer = received(idle)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"408" not in answer


def test_a_connection_is_kept_for_the_next_requests(serving: Serving) -> None:
    with serving(LONG) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for _ in range(3):
            assert client.post("/recommend", content=BODY).status_code == 200
        assert client.post("/recommend", content=b" " * 3_000_000).status_code == 413
        assert client.post("/recommend", content=BODY).status_code == 200


def test_requests_that_come_at_once_are_answered_in_their_order(serving: Serving) -> None:
    with serving(SHORT) as port, closing(connect(port, 3 * (REQUEST + BODY))) as eager:
        answer = received(eager)
        assert answer.count(b"HTTP/1.1 200 OK") == 3


def test_an_endless_header_is_refused(serving: Serving) -> None:
    with serving(LONG) as port, closing(connect(port, REQUEST[:30])) as endless:
        sent = 0
        try:
            while sent < 20 * LONGEST_HEADER:
                endless.sendall(b"x-more: 1\r\n" * 1000)
                sent += 11_000
        except OSError:
            sent = -1
        assert sent == -1 or received(endless).startswith(b"HTTP/1.1 431 ")
        assert ask(port) == 200


@pytest.mark.parametrize(
    "sent",
    [b"\x16\x03\x01\x02\x00\x01\x00", b"GET \xff HTTP/1.1\r\n\r\n", b"{}\r\n\r\n",
     b"POST /recommend HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
     b"POST /recommend HTTP/1.1\r\ncontent-length: x\r\n\r\n"],
    ids=range(5),
)  # fmt: skip
def test_what_is_not_http_gets_one_line_too(serving: Serving, sent: bytes) -> None:
    with serving(LONG) as port, closing(connect(port, sent)) as odd:
        answer = received(odd)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert list(json.loads(answer.split(b"\r\n\r\n")[1])) == ["error"]


def test_many_idle_connections_make_room_for_new_ones_the_oldest_first(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    few = Limits(connections=5, header=60, body=60, idle=60, shutdown=0.5)
    with serving(few) as port, ExitStack() as stack:
        silent = [stack.enter_context(closing(connect(port))) for _ in range(5)]
        assert ask(port) == 200
        assert received(silent[0]) == b""
        silent[4].sendall(REQUEST + BODY)
        assert silent[4].recv(100).startswith(b"HTTP/1.1 200 OK")
        for _ in range(100):
            stack.enter_context(closing(connect(port)))
        assert ask(port) == 200
    assert len([r for r in caplog.records if "which is the limit" in r.getMessage()]) == 1


def test_a_half_sent_request_makes_room_for_a_new_one(serving: Serving) -> None:
    one = Limits(connections=1, header=60, body=60, idle=60, shutdown=0.5)
    with serving(one) as port, closing(connect(port, REQUEST)) as half:
        assert ask(port) == 200
        assert received(half) == b""


def test_without_room_a_connection_is_refused_at_once(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gate, "make_room", lambda *_: False)  # all are being answered
    one = Limits(connections=1, header=60, body=60, idle=60, shutdown=0.5)
    with serving(one) as port, closing(connect(port)), closing(connect(port)) as second:
        answer = received(second)
        assert answer.startswith(b"HTTP/1.1 503 ") and b"try again" in answer


def test_a_client_that_does_not_read_its_answers_is_closed(serving: Serving) -> None:
    with serving(SHORT) as port, closing(socket.socket()) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        deaf.settimeout(0.5)
        deaf.connect(("127.0.0.1", port))
        page = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"
        with pytest.raises(OSError):
            for _ in range(int(PATIENCE) * 1000):
                deaf.sendall(100 * page)
        assert ask(port) == 200


def test_the_oldest_idle_connection_makes_room_before_a_half_sent_one() -> None:
    class Connection:
        closed = False

        def abort(self) -> None:
            self.closed = True

    gate = Gate(SHORT)
    half, older, newer, newcomer = (Connection() for _ in range(4))
    for connection, state in ((half, "body"), (older, IDLE), (newer, IDLE), (newcomer, "header")):
        gate.move(connection, state)  # type: ignore[arg-type]
    for victim in (older, newer, half):
        assert gate.make_room(newcomer) is True  # type: ignore[arg-type]
        assert victim.closed
        gate.leave(victim)  # type: ignore[arg-type]
    assert gate.make_room(newcomer) is False  # type: ignore[arg-type]
    gate.move(newcomer, "answer")  # type: ignore[arg-type]
    assert not any(gate.waiting.values())


def test_the_number_of_connections_leaves_descriptors_for_the_service() -> None:
    files = raise_file_limit()
    assert Limits.from_settings(Serve()).connections == max(files - RESERVE, FEWEST)
    assert Limits.from_settings(Serve(max_connections=7)).connections == 7
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= files


@contextmanager
def process(root: Path, settings: str = "", files: int | None = None) -> Iterator[Any]:
    """`decant serve` in a process of its own, and its port."""
    params = root / "params.yaml"
    params.write_text(params.read_text() + settings)

    def limit() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    command = [sys.executable, "-m", "decant", "serve", "--port", "0", "--poll", "0.1"]
    running = subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, preexec_fn=limit,
    )  # fmt: skip
    try:
        assert running.stdout
        yield running, int(running.stdout.readline().split("/docs")[0].rpartition(":")[2])
    finally:
        running.kill()
        running.communicate(timeout=PATIENCE)


@pytest.mark.parametrize(("signals", "status"), [([15], 0), ([2], 130), ([15, 15], 0)])
def test_a_signal_ends_the_service_though_a_client_has_sent_half_a_body(
    shop: Any, signals: list[int], status: int
) -> None:
    shop.promote(1)
    seconds = 1 if len(signals) == 1 else 3600
    settings = f"serve: {{shutdown_seconds: {seconds}}}\n"
    with process(shop.root, settings) as (running, port), ExitStack() as stack:
        sockets = [connect(port, sent) for sent in (REQUEST + BODY[:5], b"POST /")]
        for each in sockets:
            stack.enter_context(closing(each))
        assert ask(port) == 200
        for number in signals:
            running.send_signal(number)
            time.sleep(0.3)
        half, nothing = map(received, sockets)
        assert nothing == b""
        if len(signals) == 1:
            assert (
                half.startswith(b"HTTP/1.1 503 ")
                and b"the service is shutting down; try again" in half
            )
        else:
            assert half == b""
        assert running.wait(PATIENCE) == status
        said = running.stderr.read()
        assert "Traceback" not in said and " ERROR " not in said
        lines = said.count("the body of a request was not complete 1 s after the shutdown signal")
        assert lines == (len(signals) == 1)


CHUNKED = b"POST /recommend HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "endless"),
    [
        (b"2\r\n{}\r\n0\r\n", b"field: of the trailer\r\n"),
        (b"2\r\n{}\r\n0\r\nfield: ", b"one value"),
        (b"2;extension=", b"of a chunk"),
    ],
)
def test_what_frames_a_body_has_an_end_too(serving: Serving, head: bytes, endless: bytes) -> None:
    with serving(LONG) as port, closing(connect(port, CHUNKED + head)) as client:
        with suppress(ConnectionError):
            for _ in range(2000):
                client.sendall(endless * 1000)
            pytest.fail("the service has read 20 MB of what frames a body")
        assert ask(port) == 200


def test_a_body_in_small_chunks_with_a_trailer_is_read(serving: Serving) -> None:
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY)
    with serving(LONG) as port, closing(connect(port, CHUNKED + chunks)) as client:
        client.sendall(b"0\r\nfield: value\r\n\r\n")
        assert client.recv(15) == b"HTTP/1.1 200 OK"


def test_of_requests_that_are_sent_ahead_a_bounded_number_waits(serving: Serving) -> None:
    with serving(LONG) as port:
        with closing(connect(port, (REQUEST + BODY) * 50)) as client:
            answers = b""
            while answers.count(b"HTTP/1.1 200 OK") < 50:
                part = client.recv(65536)
                assert part, "closed before all were answered"
                answers += part
        with closing(connect(port)) as client, suppress(ConnectionError):
            client.sendall((REQUEST + BODY) * 20_000)
            assert received(client).count(b"HTTP/1.1 200 OK") < 2 * MOST_AHEAD
        assert ask(port) == 200


def test_an_answer_that_nobody_reads_does_not_outlast_the_service(shop: Any) -> None:
    shop.promote(1)
    with process(shop.root, "serve: {shutdown_seconds: 1}\n") as (running, port):
        with closing(connect(port)) as deaf:
            deaf.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    deaf.send(REQUEST + BODY)
            assert ask(port) == 200
            running.send_signal(signal.SIGTERM)
            assert running.wait(PATIENCE) == 0
        said = running.stderr.read()
        assert "Traceback" not in said and " ERROR " not in said


def test_a_request_under_way_is_answered_before_the_service_ends(shop: Any) -> None:
    shop.promote(1)
    with process(shop.root) as (running, port), closing(connect(port, REQUEST + BODY[:5])) as late:
        assert ask(port) == 200
        running.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        late.sendall(BODY[5:])
        assert received(late).startswith(b"HTTP/1.1 200 OK")
        assert running.wait(PATIENCE) == 0


def test_more_sockets_than_descriptors_are_no_outage(shop: Any) -> None:
    first, second = shop.promote(1), shop.publish(2)
    with process(shop.root, files=128) as (_, port), ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(closing(connect(port)))
        for _ in range(10):
            assert ask(port) == 200
        base = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{base}/healthz", timeout=PATIENCE).json()["release"] == first
        shop.promote(2)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            health = httpx.get(f"{base}/healthz", timeout=PATIENCE).json()
            if health["release"] == second:
                break
            time.sleep(0.05)
        assert health["release"] == second, health
