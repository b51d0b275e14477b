"""What is particular to S3: stores that break their promises, and errors in one line."""

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from decant.release import s3
from decant.release.s3 import S3Store
from decant.release.store import StoreError, SwapLostError

BUCKET = "releases"  # the one that s3_endpoint has

Serve = Callable[[str], str]


class Faulty(BaseHTTPRequestHandler):
    """An S3 server that is wrong in one way, named by `server.fault`."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fault, objects = self.server.fault, self.server.objects  # type: ignore[attr-defined]
        if fault == "not implemented":
            return self._answer(501)
        if fault == "broken":
            return self._answer(500)
        if self._refused(fault, objects.get(self.path)):
            return self._answer(412)
        objects[self.path] = body
        if fault == "drops the first answer":
            self.server.fault = ""  # type: ignore[attr-defined]
            self.close_connection = True
            return None
        return self._answer(200, body)

    def do_GET(self) -> None:
        body = self.server.objects.get(self.path)  # type: ignore[attr-defined]
        self._answer(404 if body is None else 200, body or b"", send=True)

    def do_DELETE(self) -> None:
        self.server.objects.pop(self.path, None)  # type: ignore[attr-defined]
        self._answer(403 if self.server.fault == "keeps" else 204)  # type: ignore[attr-defined]

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def _refused(self, fault: str, there: bytes | None) -> bool:
        if fault == "ignores conditions":
            return False
        if there is not None and self.headers["If-None-Match"] == "*":
            return True
        expected = self.headers["If-Match"]
        return fault != "ignores If-Match" and expected not in (None, _etag(there or b""))

    def _answer(self, status: int, body: bytes = b"", *, send: bool = False) -> None:
        self.send_response(status)
        self.send_header("ETag", _etag(body))
        self.send_header("Content-Length", str(len(body) if send else 0))
        self.end_headers()
        self.wfile.write(body if send else b"")


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server with a fault; returns its address."""
    servers: list[ThreadingHTTPServer] = []

    def start(fault: str) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Faulty)
        server.fault, server.objects = fault, {}  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("fault", ["ignores conditions", "ignores If-Match"])
def test_a_store_that_ignores_conditions_is_refused(serve: Serve, fault: str) -> None:
    endpoint = serve(fault)
    with pytest.raises(StoreError, match="ignores conditional writes"):
        S3Store(BUCKET, "decant", endpoint).probe()


def test_a_store_without_conditional_writes_is_refused(serve: Serve) -> None:
    with pytest.raises(StoreError, match="does not know conditional writes"):
        S3Store(BUCKET, "decant", serve("not implemented")).probe()


def test_a_store_that_keeps_its_promises_passes(serve: Serve) -> None:
    S3Store(BUCKET, "decant", serve("")).probe()


def test_a_probe_that_cannot_be_deleted_is_warned_of(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    S3Store(BUCKET, "decant", serve("keeps")).probe()
    assert "a probe was left behind at probe/" in caplog.text


def test_a_swap_whose_answer_was_lost_has_still_won(serve: Serve) -> None:
    endpoint = serve("drops the first answer")
    store = S3Store(BUCKET, "decant", endpoint)
    version = store.swap("pointer", None, b"mine")
    assert store.read_versioned("pointer") == (b"mine", version)


def test_an_unreachable_endpoint_is_one_line() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    store = S3Store(BUCKET, "decant", f"http://127.0.0.1:{port}")
    with pytest.raises(StoreError, match="does not answer after 3 attempts") as caught:
        store.read("a")
    assert "\n" not in str(caught.value)


def test_a_server_that_fails_is_one_line(serve: Serve) -> None:
    with pytest.raises(StoreError, match="s3://releases/decant: .*500") as caught:
        S3Store(BUCKET, "decant", serve("broken")).write_new("a", b"")
    assert "\n" not in str(caught.value)


def test_a_missing_bucket_is_named(s3_endpoint: str) -> None:
    store = S3Store("no-such-bucket", "decant", s3_endpoint)
    for use in (store.probe, lambda: store.list(""), lambda: store.read("a")):
        with pytest.raises(StoreError, match="no bucket `no-such-bucket`") as caught:
            use()
        assert "params.yaml" in str(caught.value)


def test_missing_credentials_say_what_to_set(
    s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoreError, match="no AWS credentials .* set AWS_ACCESS_KEY_ID"):
        S3Store(BUCKET, "decant", s3_endpoint).list("")


def test_an_unknown_profile_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(StoreError, match="no AWS credentials .*nobody"):
        S3Store(BUCKET)


@pytest.mark.parametrize("endpoint", ["not an address", "http://"])
def test_a_wrong_endpoint_is_one_line(endpoint: str) -> None:
    with pytest.raises(StoreError, match="s3://releases"):
        S3Store(BUCKET, "", endpoint).list("")


def test_the_prefix_separates_two_registries_and_a_dvc_remote(s3_endpoint: str) -> None:
    one, other = S3Store(BUCKET, "one/", s3_endpoint), S3Store(BUCKET, "other", s3_endpoint)
    one.write_new("a", b"1")
    other.write_new("a", b"2")
    assert (one.read("a"), other.read("a")) == (b"1", b"2")
    assert one.list("") == ["a"]


def test_more_keys_than_one_page_are_listed(
    s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "PAGE", 2)
    store = S3Store(BUCKET, "paged", s3_endpoint)
    for number in range(5):
        store.write_new(f"key-{number}", b"")
    assert len(store.list("")) == 5


def test_a_version_of_another_content_loses(s3_endpoint: str, tmp_path: Path) -> None:
    store = S3Store(BUCKET, tmp_path.name, s3_endpoint)
    store.swap("pointer", None, b"1")
    with pytest.raises(SwapLostError):
        store.swap("pointer", '"another"', b"2")
