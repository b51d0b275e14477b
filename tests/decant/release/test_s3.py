"""What is particular to S3: stores that break their promises, and errors in one line."""

import hashlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from decant.release import s3
from decant.release.s3 import S3Store
from decant.release.store import StoreError, SwapLostError

BUCKET = "releases"  # the one that s3_endpoint has
KEY = "channels/production.json"
METHODS = frozenset({"PUT", "GET", "HEAD", "LIST"})
USES: dict[str, Callable[[S3Store], object]] = {
    "PUT": lambda store: store.write_new(KEY, b"x"),
    "swap": lambda store: store.swap(KEY, '"a"', b"x"),
    "GET": lambda store: store.read(KEY),
    "versioned": lambda store: store.read_versioned(KEY),
    "HEAD": lambda store: store.exists(KEY),
    "LIST": lambda store: store.list("releases/"),
    "probe": lambda store: store.probe(),
}


@dataclass(frozen=True)
class Fault:
    """How a server is wrong: what it answers to some methods, and which promise it breaks."""

    status: int = 0  # 0: as a good store does
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None  # sent as it is, then the connection is closed
    on: frozenset[str] = METHODS
    breaks: str = ""


GOOD = Fault()
HTML = {"Content-Type": "text/html; charset=utf-8"}
PAGE = b"<!DOCTYPE html><html><head><meta charset=utf-8><title>Sign in</title><br></head></html>"
XHTML = b"<html><head><title>Sign in</title></head><body>Sign in</body></html>"
KMS_MESSAGE = "not authorized to perform: kms:GenerateDataKey on resource: arn:aws:kms:eu:1:key/2"


def refusal(status: int, code: str, message: str = "in its own words", **more: Any) -> Fault:
    """An error as S3 answers it."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Fault(status, body.encode(), {"Content-Type": "application/xml"}, **more)


class Faulty(BaseHTTPRequestHandler):
    """An S3 server that is wrong in one way: `server.fault`."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._faulty("PUT"):
            return None
        there = self._objects.get(self.path)
        if self._refused(there):
            return self._answer(412)
        self._objects[self.path] = body
        if self._breaks == "the first answer":
            self.server.fault = GOOD  # type: ignore[attr-defined]
            self.close_connection = True
            return None
        return self._answer(200, etag=_etag(body))

    def do_GET(self) -> None:
        if "list-type" in self.path:
            return None if self._faulty("LIST") else self._list()
        if self._faulty("GET"):
            return None
        body = self._objects.get(self.path)
        if body is None:
            return self._answer(404)
        stale = self._breaks == "reads"
        return self._answer(200, b"1" if stale else body, etag=_etag(body))

    def do_HEAD(self) -> None:
        if not self._faulty("HEAD"):
            body = self._objects.get(self.path)
            self._answer(404 if body is None else 200, etag=_etag(body or b""))

    def do_DELETE(self) -> None:
        self._objects.pop(self.path, None)
        self._answer(403 if self._breaks == "deletes" else 204)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    @property
    def _objects(self) -> dict[str, bytes]:
        return self.server.objects  # type: ignore[attr-defined,no-any-return]

    @property
    def _breaks(self) -> str:
        return self.server.fault.breaks  # type: ignore[attr-defined,no-any-return]

    def _faulty(self, method: str) -> bool:
        fault: Fault = self.server.fault  # type: ignore[attr-defined]
        if method not in fault.on or not (fault.status or fault.raw is not None):
            return False
        if fault.raw is not None:
            self.wfile.write(fault.raw)
            self.close_connection = True
        else:
            self._answer(fault.status, fault.body, fault.headers, hide=method == "HEAD")
        return True

    def _refused(self, there: bytes | None) -> bool:
        """Whether a condition is not met, as far as this server keeps them."""
        expected = self.headers["If-Match"]
        right = there is not None and expected == _etag(there)
        unmet = {
            "nothing": self._breaks == "right If-Match" and right,
            "If-None-Match": self.headers["If-None-Match"] == "*" and there is not None,
            "If-Match": expected is not None and there is not None and not right,
            "If-Match on a missing key": expected is not None and there is None,
        }
        return any(message for name, message in unmet.items() if self._breaks not in (name, "all"))

    def _list(self) -> None:
        prefix = parse_qs(urlsplit(self.path).query)["prefix"][0]
        keys = [path.removeprefix(f"/{BUCKET}/") for path in sorted(self._objects)]
        if self._breaks == "lists":
            keys = []
        result = "".join(
            f"<Contents><Key>{k}</Key></Contents>" for k in keys if k.startswith(prefix)
        )
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{result}</ListBucketResult>"
        self._answer(200, body.encode(), {"Content-Type": "application/xml"})

    def _answer(
        self,
        status: int,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        etag: str | None = None,
        hide: bool = False,
    ) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), **({"ETag": etag} if etag else {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if hide else body)


class Server(ThreadingHTTPServer):
    """Quiet about clients that go away."""

    fault = GOOD
    objects: dict[str, bytes]
    stores: dict[int, S3Store]  # by attempts
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing."""


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for all faults."""
    started = Server(("127.0.0.1", 0), Faulty)
    started.stores = {}
    threading.Thread(target=started.serve_forever, args=(0.01,), daemon=True).start()
    yield started
    started.shutdown()
    started.server_close()


@pytest.fixture
def serve(server: Server) -> Callable[[Fault], S3Store]:
    """Give the server a fault; returns a store there."""

    def start(fault: Fault) -> S3Store:
        server.fault, server.objects = fault, {}
        if s3.ATTEMPTS not in server.stores:  # a client takes its time to be made
            endpoint = f"http://127.0.0.1:{server.server_port}"
            server.stores[s3.ATTEMPTS] = S3Store(BUCKET, "decant", endpoint)
        store = server.stores[s3.ATTEMPTS]
        store._probed = False
        return store

    return start


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried again."""
    monkeypatch.setattr(s3, "ATTEMPTS", 1)


Serve = Callable[[Fault], S3Store]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("all", "ignores conditional writes \\(IfNoneMatch overwrites an existing key"),
        ("If-None-Match", "ignores conditional writes \\(IfNoneMatch overwrites an existing key"),
        ("If-Match", "ignores conditional writes \\(IfMatch overwrites another version"),
        ("If-Match on a missing key", "ignores .* \\(IfMatch writes a key that does not exist"),
        ("right If-Match", "refuses a valid conditional write"),
        ("reads", "not readable or listed immediately"),
        ("lists", "not readable or listed immediately"),
    ],
)
def test_a_store_that_breaks_a_promise_is_refused(
    serve: Serve, server: Server, broken: str, message: str
) -> None:
    store = serve(Fault(breaks=broken))
    with pytest.raises(StoreError, match=message):
        store.probe()
    assert server.objects == {}  # the probes are removed
    with pytest.raises(StoreError, match=message):
        store.probe()


def test_a_store_without_conditional_writes_is_refused(serve: Serve, once: None) -> None:
    with pytest.raises(StoreError, match="does not support conditional writes"):
        serve(Fault(501)).probe()


def test_a_store_that_keeps_its_promises_passes(serve: Serve, server: Server) -> None:
    serve(GOOD).probe()
    assert server.objects == {}


def test_a_probe_that_cannot_be_deleted_is_warned_of(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    serve(Fault(breaks="deletes")).probe()
    assert "a probe object could not be removed from probe/" in caplog.text


# refusals: what a bucket answers, and the advice


NOT_S3 = "not an answer from an S3 store.*proxy.*registry.endpoint"
BUSY = "overloaded or down: try again later"
QUOTA = "quota or size limit is reached"
THE_KEY = "KMS key cannot be used.*kms:GenerateDataKey"
SESSION = "session has expired: renew it"
ELSEWHERE = "AWS_DEFAULT_REGION.*registry.endpoint"
REDIRECT = "redirects to http://login.example/"
LOGIN = {"Location": "http://login.example/"}
DENIED = "access denied: these credentials need s3:"
ANSWERS = {
    "skewed clock": (refusal(403, "RequestTimeTooSkewed"), "this machine's clock"),
    "quota": (refusal(403, "QuotaExceeded"), QUOTA),
    "service quota": (refusal(400, "ServiceQuotaExceeded"), QUOTA),
    "no storage": (refusal(507, "InsufficientStorage"), QUOTA),
    "bare 507": (Fault(507), QUOTA),
    "quota of MinIO": (refusal(400, "XMinioAdminBucketQuotaExceeded"), QUOTA),
    "too large": (refusal(400, "EntityTooLarge"), QUOTA),
    "a proxy's size limit": (Fault(413, PAGE, HTML), QUOTA),
    "kms permission": (refusal(403, "AccessDenied", KMS_MESSAGE), THE_KEY),
    "kms code": (refusal(403, "kms:GenerateDataKey"), THE_KEY),
    "disabled key": (refusal(400, "KMS.DisabledException"), THE_KEY),
    "expired": (refusal(400, "ExpiredToken"), SESSION),
    "invalid token": (refusal(400, "InvalidToken"), SESSION),
    "unknown access key": (refusal(403, "InvalidAccessKeyId"), "correct AWS_ACCESS_KEY_ID"),
    "wrong secret": (refusal(403, "SignatureDoesNotMatch"), "correct AWS_SECRET_ACCESS_KEY"),
    "denied": (refusal(403, "AccessDenied"), DENIED),
    "bare 403": (Fault(403), DENIED),
    "other region": (refusal(301, "PermanentRedirect", on=METHODS - {"HEAD"}), ELSEWHERE),
    "other region, signed": (refusal(400, "AuthorizationHeaderMalformed"), ELSEWHERE),
    "other place": (refusal(400, "IllegalLocationConstraintException"), ELSEWHERE),
    "busy": (refusal(503, "SlowDown"), BUSY),
    "down": (refusal(503, "ServiceUnavailable"), BUSY),
    "bare 503": (Fault(503), BUSY),
    "a gateway's page": (Fault(502, PAGE, HTML), BUSY),
    "too many": (refusal(429, "TooManyRequests"), BUSY),
    "broken": (refusal(500, "InternalError"), BUSY),
    "bucket's name": (refusal(400, "InvalidBucketName"), "correct registry.bucket"),
    "no bucket": (refusal(404, "NoSuchBucket", on=METHODS - {"HEAD"}), "no bucket `releases` at"),
    "archived": (refusal(403, "InvalidObjectState"), "is archived: restore it"),
    "no method": (refusal(405, "MethodNotAllowed"), NOT_S3),
    "unexplained": (Fault(400), "expired credentials and another region"),
    "unknown code": (refusal(400, "SomethingNew"), "SomethingNew: in its own words"),
    "nothing said": (Fault(200), f"has no ETag.*{NOT_S3}|lists nothing.*{NOT_S3}"),
    "login page": (Fault(200, PAGE, HTML), NOT_S3),
    "login page as XML": (Fault(200, XHTML, HTML), NOT_S3),
    "login page of a static server": (Fault(200, PAGE, {**HTML, "ETag": '"a"'}), NOT_S3),
    "another service": (Fault(200, b"{}", {"Content-Type": "application/json"}), NOT_S3),
    "web server": (Fault(404, PAGE, HTML), NOT_S3),
    "forbidden by a proxy": (Fault(403, PAGE, HTML), NOT_S3),
    "redirect to a login": (Fault(302, PAGE, {**HTML, **LOGIN}), REDIRECT),
    "redirect for good": (Fault(301, b"", LOGIN), REDIRECT),
    "redirect for now": (Fault(307, b"", LOGIN), REDIRECT),
    "redirect to another method": (Fault(303, b"", LOGIN), NOT_S3),
    "a proxy's login": (Fault(407, PAGE, HTML), "HTTP_PROXY"),
    "no HTTP": (Fault(raw=b"SSH-2.0-OpenSSH_9.6\r\n"), "closed the connection without an answer"),
    "no answer": (Fault(raw=b""), "closed the connection without an answer"),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_refusal_is_one_line_with_advice(
    serve: Serve, once: None, caplog: pytest.LogCaptureFixture, answer: str
) -> None:
    fault, message = ANSWERS[answer]
    store = serve(fault)
    for use in USES.keys() - (METHODS - fault.on):
        with pytest.raises(StoreError, match=message) as caught:
            USES[use](store)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith("s3://releases/decant: ")
        assert type(caught.value) is StoreError  # neither a lost swap nor a missing key
    assert not caplog.records


@pytest.mark.parametrize(
    ("use", "permission"),
    [
        ("PUT", "s3:PutObject on releases/decant/channels/production.json$"),
        ("GET", "s3:GetObject on releases/decant/channels/production.json, and s3:ListBucket"),
        ("HEAD", "s3:GetObject on releases/decant/channels/production.json, and s3:ListBucket"),
        ("LIST", "s3:ListBucket on releases$"),
    ],
)
@pytest.mark.parametrize("fault", [refusal(403, "AccessDenied"), Fault(403)])
def test_access_denied_names_the_permission(
    serve: Serve, use: str, permission: str, fault: Fault
) -> None:
    with pytest.raises(StoreError, match=permission):
        USES[use](serve(fault))


def test_a_permission_that_the_store_names_is_named(serve: Serve) -> None:
    message = "user/x is not authorized to perform: s3:PutObjectTagging on resource"
    with pytest.raises(StoreError, match="need s3:PutObjectTagging on releases/decant/"):
        serve(refusal(403, "AccessDenied", message)).write_new("a", b"")


CUT = b'HTTP/1.1 200 OK\r\nETag: "a"\r\nContent-Length: 1000\r\n\r\npart'
CUT_CHUNK = b'HTTP/1.1 200 OK\r\nETag: "a"\r\nTransfer-Encoding: chunked\r\n\r\nff\r\npart'


@pytest.mark.parametrize("raw", [CUT, CUT_CHUNK])
@pytest.mark.parametrize("use", ["GET", "versioned"])
def test_a_body_that_is_cut_is_told(serve: Serve, raw: bytes, use: str) -> None:
    with pytest.raises(StoreError, match="the answer was cut off: .*; try again") as caught:
        USES[use](serve(Fault(raw=raw)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("use", ["PUT", "LIST", "probe"])
@pytest.mark.parametrize("raw", [CUT, CUT_CHUNK])
def test_an_answer_that_is_cut_is_told(serve: Serve, once: None, raw: bytes, use: str) -> None:
    with pytest.raises(StoreError, match=f"{BUSY}|closed the connection") as caught:
        USES[use](serve(Fault(raw=raw)))
    assert "\n" not in str(caught.value)


def test_https_where_http_is_spoken_is_one_line(server: Server, once: None) -> None:
    store = S3Store(BUCKET, "decant", f"https://127.0.0.1:{server.server_port}")
    with pytest.raises(
        StoreError, match="no TLS connection to https:.*http against https"
    ) as caught:
        store.list("")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("scheme", "message"),
    [("https", "no TLS connection.*AWS_CA_BUNDLE"), ("http", "closed the connection")],
)
def test_a_certificate_of_nobody_is_one_line(
    tls_port: int, once: None, scheme: str, message: str
) -> None:
    store = S3Store(BUCKET, "decant", f"{scheme}://127.0.0.1:{tls_port}")
    with pytest.raises(StoreError, match=message) as caught:
        store.list("")
    assert "\n" not in str(caught.value)


@pytest.fixture
def tls_port(tmp_path: Path) -> Iterator[int]:
    """A server that speaks TLS, with a certificate that nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody")]), datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (tmp_path / "pem").write_bytes(private + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pem")
    server = Server(("127.0.0.1", 0), Faulty)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_a_swap_whose_answer_was_lost_has_still_won(serve: Serve) -> None:
    store = serve(Fault(breaks="the first answer"))
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


def test_a_server_that_fails_is_asked_again_then_one_line(serve: Serve) -> None:
    with pytest.raises(StoreError, match="s3://releases/decant: .*500") as caught:
        serve(Fault(500)).write_new("a", b"")
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


@pytest.mark.parametrize("bucket", ["UPPER_case!", "a/b", "..", "x"])
def test_a_wrong_name_of_a_bucket_says_what_to_correct(s3_endpoint: str, bucket: str) -> None:
    with pytest.raises(StoreError, match="registry.bucket") as caught:
        S3Store(bucket, "", s3_endpoint).list("")
    assert "\n" not in str(caught.value)


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
