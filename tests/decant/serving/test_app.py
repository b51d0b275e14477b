"""The service over HTTP: answers, errors, and a channel that moves under its requests."""

import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import httpx
import msgspec
import onnx
import pytest
import uvicorn
from starlette.testclient import TestClient

from decant.commands.service import listen
from decant.params.release import Serve
from decant.runtime.session import Model
from decant.serving.app import create_app
from decant.serving.reload import Current, Source
from decant.serving.requests import MAX_BODY, RecommendAnswer, RecommendRequest

NEVER = 3600.0  # seconds between looks at the channel


@pytest.fixture
def client(shop: Any) -> Iterator[TestClient]:
    """A service on a release."""
    shop.promote(1)
    with TestClient(create_app(Current(shop.source), NEVER)) as client:
        yield client


@pytest.fixture
def empty(shop: Any) -> Iterator[TestClient]:
    """A service whose channel points at nothing."""
    with TestClient(create_app(Current(shop.source), NEVER)) as client:
        yield client


def test_a_request_is_answered(client: TestClient, shop: Any) -> None:
    user = {"age": "young", "gender": "F"}
    body = {"user": user, "history": ["item-03", "gone"], "k": 4}
    response = client.post("/recommend", json=body)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert set(answer) == set(RecommendAnswer.__struct_fields__)
    assert [set(item) for item in answer["items"]] == [{"item", "score"}] * 4
    assert (answer["student"], answer["segment"]) == ("women", "women")
    assert answer["release"] == shop.registry.channel().release
    assert answer["unknown_items"] == ["gone"]
    assert answer["unknown_values"] == ["age"]


def test_an_empty_object_is_answered(client: TestClient) -> None:
    assert len(client.post("/recommend", content=b"{}").json()["items"]) == 10


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"", 400, "it is empty"),
        (b"{", 400, "not valid JSON"),
        (b'{"user": 3}', 422, "user: expected object, got int"),
        (b'{"usr": {}}', 422, "did you mean `user`"),
        (b'{"k": 0}', 422, "k is 0; it must be from 1 to 12"),
        (b'{"k": -3}', 422, "k is -3; it must be from 1 to 12"),
        (b'{"k": 13}', 422, "k is 13; it must be from 1 to 12"),
        (b'{"k": 99999999999999999999999999}', 422, "it must be from 1 to 12"),
        (b'{"history": [{"item": "item-01", "behaviour": "veiw"}]}', 422, "did you mean `view`"),
        (b'{"user": {"a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}}", 422, "user: an attribute is"),
        (b" " * (MAX_BODY + 1), 413, "larger than 1000000 bytes"),
    ],
    ids=range(11),
)
def test_a_bad_request_gets_one_clear_line(
    client: TestClient, body: bytes, status: int, error: str
) -> None:
    response = client.post("/recommend", content=body)
    assert response.status_code == status
    assert list(response.json()) == ["error"]
    assert error in response.json()["error"]
    assert "\n" not in response.json()["error"]


def test_a_body_of_unannounced_length_is_bounded_too(client: TestClient) -> None:
    chunks = (b" " * 100_000 for _ in range(11))
    assert client.post("/recommend", content=chunks).status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/recommend", 405),
        ("OPTIONS", "/recommend", 405),
        ("POST", "/healthz", 405),
        ("GET", "/nowhere", 404),
    ],
)
def test_other_paths_and_methods_say_what_there_is(
    client: TestClient, method: str, path: str, status: int
) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert "POST /recommend" in response.json()["error"]


@pytest.mark.parametrize(
    ("path", "allowed"), [("/healthz", "GET"), ("/docs", "GET"), ("/recommend", "POST")]
)
def test_a_path_has_one_method(client: TestClient, path: str, allowed: str) -> None:
    response = client.head(path)
    assert (response.status_code, response.headers["allow"]) == (405, allowed)


def test_an_error_of_ours_is_one_line_of_json(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.promote(1)
    monkeypatch.setattr("decant.serving.app.ask", lambda *_: 1 / 0)
    app = create_app(Current(shop.source), NEVER)
    with TestClient(app, raise_server_exceptions=False) as client:
        response = client.post("/recommend", content=b"{}")
    assert response.status_code == 500
    assert response.json() == {"error": "internal error; see the service's log"}


def test_healthz_says_what_is_served(client: TestClient, shop: Any) -> None:
    health = client.get("/healthz").json()
    change = shop.registry.channel()
    assert health.pop("loaded") >= change.at.isoformat()
    assert health == {
        "status": "ok",
        "channel": "production",
        "release": change.release,
        "students": ["general", "women"],
        "items": 12,
        "since": change.at.isoformat(),
        "unknown_events": 0,
        "loading": None,
        "problem": None,
    }


def test_events_of_unknown_items_are_answered_and_counted(client: TestClient) -> None:
    for history in (["gone", "gone too"], ["item-03", "gone"]):
        answer = client.post("/recommend", json={"history": history})
        assert answer.status_code == 200 and answer.json()["items"]
        assert "gone" in answer.json()["unknown_items"]
    assert client.get("/healthz").json()["unknown_events"] == 3


def test_a_long_history_is_cut_as_the_settings_say(shop: Any) -> None:
    shop.promote(1)
    app = create_app(Current(shop.source), NEVER, Serve(max_events=2))
    with TestClient(app) as client:
        answer = client.post(
            "/recommend", json={"history": ["item-01", "item-02", "item-03"]}
        ).json()
    assert answer["older_events"] == 1
    assert {item["item"] for item in answer["items"]}.isdisjoint({"item-02", "item-03"})
    assert "item-01" in {item["item"] for item in answer["items"]}


def test_without_a_release_it_says_so(empty: TestClient) -> None:
    for response in (empty.get("/healthz"), empty.post("/recommend", content=b"{}")):
        assert response.status_code == 503
        assert "no release was promoted to production yet" in response.json()["error"]


def test_the_page_needs_nothing_from_elsewhere(client: TestClient, empty: TestClient) -> None:
    assert client.get("/", follow_redirects=False).headers["location"] == "docs"
    for service in (client, empty):
        page = service.get("/docs")
        assert page.headers["content-type"].startswith("text/html")
        assert not re.search(r"(src|href)=\"?(https?:)?//", page.text)
        assert "RecommendRequest" in page.text


def test_the_documented_example_is_answered(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    body = document["paths"]["/recommend"]["post"]["requestBody"]["content"]["application/json"]
    answer = client.post("/recommend", json=body["example"])
    assert answer.status_code == 200
    left_out = {k: names for k, names in answer.json().items() if k.startswith("unknown_")}
    assert not any(left_out.values()) and len(left_out) == 4


def test_the_document_describes_what_is_really_read_and_sent(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    described = {
        (method, path) for path, methods in document["paths"].items() for method in methods
    }
    pages = {("get", path) for path in ("/", "/docs", "/openapi.json")}
    routes = {(m.lower(), r.path) for r in client.app.routes for m in r.methods}  # type: ignore[attr-defined]
    assert described == routes - pages
    for reference in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)):
        assert reference in schemas
    assert set(schemas["RecommendRequest"]["properties"]) == set(RecommendRequest.__struct_fields__)
    assert schemas["RecommendRequest"]["additionalProperties"] is False
    answer = client.post("/recommend", content=b"{}")
    msgspec.json.decode(answer.content, type=RecommendAnswer)
    assert set(client.get("/healthz").json()) == set(schemas["Health"]["properties"])


@contextmanager
def serving(source: Source, poll: float) -> Iterator[str]:
    """A real server on a port of loopback."""
    with listen("127.0.0.1", 0) as waiting:
        port = waiting.getsockname()[1]
        app = create_app(Current(source), poll)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [waiting]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(20)
    assert not thread.is_alive()


def wait_for(client: httpx.Client, release: str) -> dict[str, Any]:
    for _ in range(200):
        health = client.get("/healthz").json()
        if health.get("release") == release:
            return health
        time.sleep(0.05)
    raise AssertionError(f"{release} was not served within 10 seconds: {health}")


def test_the_channel_moves_under_requests_and_none_fails(shop: Any) -> None:
    expected = {shop.publish(1), shop.publish(2)}
    shop.promote(1)
    statuses: list[int] = []
    releases: list[str] = []
    done = threading.Event()

    def ask(base: str) -> None:
        with httpx.Client(base_url=base) as client:
            for _ in range(2000):
                if done.is_set():
                    return
                response = client.post("/recommend", json={"history": ["item-03"], "k": 3})
                statuses.append(response.status_code)
                releases.append(response.json()["release"])

    with serving(shop.source, 0.02) as base, httpx.Client(base_url=base) as client:
        askers = [threading.Thread(target=ask, args=(base,)) for _ in range(3)]
        for asker in askers:
            asker.start()
        try:
            for seed in (2, 1, 2, 1):
                wait_for(client, shop.promote(seed))
        finally:
            done.set()
            for asker in askers:
                asker.join(20)
    assert len(statuses) > 10
    assert set(statuses) == {200}
    assert set(releases) == expected


def test_a_damaged_release_is_reported_and_the_old_one_answers_on(shop: Any) -> None:
    first, second = shop.promote(1), shop.publish(2)
    with serving(shop.source, 0.02) as base, httpx.Client(base_url=base) as client:
        wait_for(client, first)
        (shop.root / f"registry/releases/{second}/students/women/model.onnx").write_bytes(b"")
        pointer = shop.root / "registry" / "channels" / "production.json"
        moved = json.loads(pointer.read_text()) | {"release": second, "change": "by hand"}
        pointer.write_text(json.dumps(moved))
        for _ in range(200):
            health = client.get("/healthz").json()
            if f"release {second} is damaged" in (health["problem"] or ""):
                break
            time.sleep(0.05)
        assert f"release {second} is damaged" in health["problem"]
        assert health["release"] == first
        assert client.post("/recommend", json={}).json()["release"] == first


def asked(client: httpx.Client, holds: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """What /healthz says when something holds of it."""
    for _ in range(400):
        health: dict[str, Any] = client.get("/healthz").json()
        if holds(health):
            return health
        time.sleep(0.05)
    raise AssertionError(f"waited 20 seconds in vain: {health}")


def test_while_a_release_does_not_end_to_load_the_old_one_answers(shop: Any) -> None:
    first = shop.promote(1)
    with serving(shop.bounded(4), 0.02) as base, httpx.Client(base_url=base) as client:
        wait_for(client, first)
        endless = shop.promote_endless(2)
        health = asked(client, lambda health: health["loading"])
        assert health["loading"]["release"] == endless
        assert datetime.fromisoformat(health["loading"]["since"]).tzinfo
        assert (health["release"], health["problem"]) == (first, None)
        assert client.post("/recommend", json={}).json()["release"] == first
        health = asked(client, lambda health: health["problem"])
        assert (
            f"release {endless} was not loaded and ready to answer within 4 s" in health["problem"]
        )
        assert health["release"] == first
        huge = shop.promote_huge(3)
        health = asked(client, lambda health: huge in (health["problem"] or ""))
        assert "needs more than 2048 MB of memory" in health["problem"]
        assert client.post("/recommend", json={}).json()["release"] == first
        wait_for(client, shop.promote(4))


def test_before_the_first_release_it_says_which_one_is_being_loaded(shop: Any) -> None:
    with serving(shop.bounded(3), 0.02) as base, httpx.Client(base_url=base) as client:
        asked(client, lambda health: "no release was promoted" in health["error"])
        endless = shop.promote_endless(1)
        asked(client, lambda health: (health["loading"] or {}).get("release") == endless)
        assert f"release {endless} is being loaded" in client.get("/healthz").json()["error"]
        assert client.get("/healthz").status_code == 503
        said = client.post("/recommend", json={})
        assert said.status_code == 503 and list(said.json()) == ["error"]
        asked(client, lambda health: "within 3 s" in health["error"] and not health["loading"])


def test_a_graph_that_reads_files_is_never_served(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = shop.root / ".decant" / "keys"
    secret.parent.mkdir()
    secret.write_bytes(b"secret" * 500)

    def reads(tables: Any) -> bytes:
        model = onnx.load_from_string(shop.graph(tables))
        [weight] = [w for w in model.graph.initializer if w.name == "last_rows"]
        weight.ClearField("raw_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=str(secret))
        return bytes(model.SerializeToString())

    first = shop.promote(1)
    with serving(shop.bounded(), 0.02) as base, httpx.Client(base_url=base) as client:
        wait_for(client, first)
        with monkeypatch.context() as patch:  # as somebody publishes it who does not look
            patch.setattr("decant.runtime.graph_check.check_graph", lambda content: None)
            second = shop.promote(2, reads)
        health = asked(client, lambda health: health["problem"])
        assert f"release {second} cannot be served: students/general" in health["problem"]
        assert "tensor `last_rows` has `external_data`, which is not allowed" in health["problem"]
        assert health["release"] == first
        assert client.post("/recommend", json={}).json()["release"] == first


def test_a_student_that_no_manifest_names_is_never_served(shop: Any) -> None:
    first, second = shop.promote(1), shop.publish(2)
    with serving(shop.source, 0.02) as base, httpx.Client(base_url=base) as client:
        wait_for(client, first)
        shop.registry.promote(second)
        students = shop.root / "registry" / "releases" / second / "students"
        wait_for(client, second)
    shutil.copytree(students / "women", students / "readers")
    with serving(shop.source, 0.02) as base, httpx.Client(base_url=base) as client:
        health = asked(client, lambda health: "readers is not listed" in str(health))
        assert "release" not in health


def test_a_restarted_service_answers_beside_a_damaged_pointer(shop: Any) -> None:
    first = shop.promote(1)
    with serving(shop.source, 0.02) as base, httpx.Client(base_url=base) as client:
        wait_for(client, first)
    (shop.root / "registry" / "channels" / "production.json").write_text("{")
    with serving(shop.source, 0.02) as base, httpx.Client(base_url=base) as client:
        health = wait_for(client, first)
        assert "production.json" in health["problem"]
        assert client.post("/recommend", json={}).json()["release"] == first


def test_it_starts_without_a_release_and_takes_the_first_one(shop: Any) -> None:
    with serving(shop.source, 0.02) as base, httpx.Client(base_url=base) as client:
        assert client.get("/healthz").status_code == 503
        health = wait_for(client, shop.promote(1))
        assert health["status"] == "ok"


def test_a_huge_body_is_refused_over_a_real_connection(shop: Any) -> None:
    shop.promote(1)
    with serving(shop.source, NEVER) as base, httpx.Client(base_url=base) as client:
        response = client.post("/recommend", content=b" " * (3 * MAX_BODY))
        assert response.status_code == 413
        assert client.post("/recommend", content=b"{}").status_code == 200


def test_a_student_that_fails_on_one_request_is_one_line(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("index 5\nis out of bounds")

    monkeypatch.setattr(Model, "scores", fail)
    answer = client.post("/recommend", json={"history": ["item-03"]})
    assert answer.status_code == 503
    assert "student general of release" in answer.json()["error"]
    assert answer.json()["error"].endswith("cannot answer this request: index 5 is out of bounds")
    assert [record.message for record in caplog.records] == [answer.json()["error"]]
