"""Effect of demanding clients on the latency of a polite client.

The release is a student with the demo's architecture, random weights and a large catalogue, since
only its cost matters here.
"""

import http.client
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.harness.checkout import Clone
from benchmarks.harness.demo_workspace import ShopError, change_params
from decant.compression.quantize import quantize_int8
from decant.features.encode import Attribute, Encoder
from decant.files import write_json
from decant.models import bundle
from decant.models.build import architecture
from decant.models.export import export_onnx
from decant.models.recommender import Recommender
from decant.params.load import Params, load_params
from decant.params.types import GENERAL
from decant.release.candidate import Parts, assemble
from decant.release.registry import open_registry
from decant.report.results import Outcome
from decant.runtime.engine import Family
from decant.serving.requests import respond

SEED = 0
ITEMS = 20_000
EVENTS = 40  # of the polite client's history
LONG = 10_000  # events of a body of about 730 kB
CLIENTS = 4  # demanding clients, each a process
SOCKETS = 200  # idle sockets, more than the allowed descriptors
FILES = 128  # allowed descriptors
REQUESTS = 1500  # of the polite client, for each figure
REPEATS = 200  # of one body, for its cost
SHUTDOWN = 2.0  # seconds, the setting during the measurement
PATIENCE = 60.0
Log = Callable[[str], None]


def bench(project: Clone, log: Log) -> Outcome:
    """Run the benchmark."""
    change_params(project, {"serve": {"shutdown_seconds": SHUTDOWN}})
    params = load_params(project.root / "params.yaml")
    log("publishing a release with random weights")
    encoder = draw_encoder(params)
    family = publish(project.root, params, encoder)
    outcome = Outcome(protocol(), [SEED])
    costs(family, encoder, outcome)
    with ExitStack() as stack:
        port = stack.enter_context(service(project.root))
        alone = polite(port, encoder)
        log(f"alone: p50 {quantile(alone, 50):.2f} ms, p99 {quantile(alone, 99):.2f} ms")
        loads = {
            "large_bodies": body(encoder, LONG),
            "misspelt_ids": body(encoder, EVENTS, misspelt=True),
            "equal_requests": body(encoder, EVENTS),
        }
        for name, load in loads.items():
            with beside(port, load):
                compare(name, polite(port, encoder), alone, outcome, log)
        for _ in range(SOCKETS):
            stack.enter_context(closing(socket.create_connection(("127.0.0.1", port))))
        compare("idle_sockets", polite(port, encoder), alone, outcome, log)
    ended = seconds_to_end(project.root)
    log(f"SIGTERM beside half a body: {ended:.1f} s")
    outcome.holds("shutdown.bounded", ended < SHUTDOWN + 3, f"it took {ended:.1f} s")
    return outcome


def protocol() -> dict[str, str]:
    """Description of the protocol."""
    return {
        "release": f"one int8 student of the demo's architecture with random weights, {ITEMS:,} "
        "items with ids of 40 characters",
        "polite client": f"{REQUESTS:,} requests of {EVENTS} events one after another on one "
        "connection; the ratio is its p99 beside the others ÷ its p99 alone",
        "large_bodies": f"{CLIENTS} clients with bodies of {LONG:,} events, about 1 MB",
        "misspelt_ids": f"{CLIENTS} clients whose {EVENTS} ids are all misspelt",
        "equal_requests": f"{CLIENTS} clients with the polite client's requests: the unavoidable "
        "cost of four more clients on two cores",
        "idle_sockets": f"{SOCKETS} open sockets that send nothing, {FILES} descriptors allowed",
        "cost": "time of one request in the service's code, without HTTP, ÷ that of one with "
        f"{EVENTS} events; the fastest of {REPEATS}",
    }


def draw_encoder(params: Params) -> Encoder:
    """An encoder like the demo's, with a large catalogue."""
    ids = tuple(sorted(f"item-{number:032x}-{'x'}" for number in range(ITEMS)))
    return Encoder(
        items=ids,
        behaviours=("view", "cart", "purchase"),
        attributes={"gender": Attribute(values=("F", "M")), "age": Attribute(edges=(25.0, 40.0))},
        max_length=params.features.max_length,
        merge_window=params.features.merge_window,
        exclude_seen=True,
    )


def publish(root: Path, params: Params, encoder: Encoder) -> Family:
    """Promote a release with one student; returns its family for calls without HTTP."""
    work = root / "drawn"
    torch.manual_seed(SEED)
    model = Recommender(architecture(params.distill, encoder, None)).eval()
    folder = work / GENERAL / "int8"
    bundle.write_text_files(folder, model.architecture.to_dict(), encoder.items, {})
    export_onnx(model, work / "float.onnx")
    quantize_int8(work / "float.onnx", folder / bundle.GRAPH)
    bundle.seal(folder)
    encoder.save(work / "encoder.json")
    write_json(work / "router.json", {"students": {}, "folded": []})
    write_json(work / "verdict.json", {"passed": True, "checks": [], "segments": {}})
    write_json(work / "metrics.json", {})
    write_json(work / "raw.json", {})
    parts = Parts(
        work, *(work / f"{n}.json" for n in ("router", "encoder", "verdict", "metrics", "raw"))
    )
    (work / "candidate").mkdir()
    assemble(parts, params, work / "candidate")
    registry = open_registry(params.registry, root)
    release = registry.publish(work / "candidate", {})
    registry.promote(release)
    return Family(work / "candidate", release)


def body(encoder: Encoder, events: int, *, misspelt: bool = False) -> bytes:
    """A request with `events` events of random items."""
    drawn = np.random.default_rng(SEED).integers(0, len(encoder.items), events)
    history = [
        {
            "item": encoder.items[item] + ("z" if misspelt else ""),
            "behaviour": "view",
            "time": 1_764_504_000 + 600 * place,
        }
        for place, item in enumerate(drawn)
    ]
    return json.dumps({"user": {"age": 28, "gender": "F"}, "history": history, "k": 10}).encode()


def costs(family: Family, encoder: Encoder, outcome: Outcome) -> None:
    """The time of a request by length of its history, relative to `EVENTS` events."""
    bodies = {events: body(encoder, events) for events in (0, 7, EVENTS, 1000, LONG)}
    fastest = {events: float("inf") for events in bodies}
    for _ in range(REPEATS):
        for events, content in bodies.items():  # in turn, so that other load affects all alike
            began = time.perf_counter()
            respond(family, content)
            fastest[events] = min(fastest[events], time.perf_counter() - began)
    for events, seconds in fastest.items():
        outcome.measured(f"cost.{events}_events.ratio", seconds / fastest[EVENTS], REPEATS)


@contextmanager
def service(root: Path) -> Iterator[int]:
    """Run `decant serve` with few descriptors; yield its port."""
    process = start(root)
    try:
        yield port_of(process)
    finally:
        process.kill()
        process.communicate()


def start(root: Path) -> "subprocess.Popen[str]":
    """Start the service in a separate process."""
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES}))"
    program = (
        f"{limit}; import sys; from decant.cli import main; sys.exit(main(['serve', '--port=0']))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program], cwd=root, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip


def port_of(process: "subprocess.Popen[str]") -> int:
    """The port that a service prints, after waiting until it has a release.

    Raises:
        ShopError: it does not answer.
    """
    assert process.stdout
    port = int(process.stdout.readline().split("/docs")[0].rpartition(":")[2])
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == http.client.OK:
                return port
        time.sleep(0.1)
    raise ShopError(f"the service did not load its release within {PATIENCE:.0f} s")


def polite(port: int, encoder: Encoder) -> np.ndarray:
    """Milliseconds of each request of the polite client."""
    content = body(encoder, EVENTS)
    took = np.zeros(REQUESTS)
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        for number in range(REQUESTS):
            began = time.perf_counter()
            status = ask(connection, content)
            took[number] = 1000 * (time.perf_counter() - began)
            if status != http.client.OK:
                raise ShopError(f"the polite client got status {status}")
    return took


def ask(connection: http.client.HTTPConnection, content: bytes) -> int:
    """Send one request and read its answer; return the status."""
    connection.request("POST", "/recommend", content)
    response = connection.getresponse()
    response.read()
    return response.status


@contextmanager
def beside(port: int, content: bytes) -> Iterator[None]:
    """Run clients in separate processes that send one body repeatedly."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    clients = [context.Process(target=hammer, args=(port, content, stop)) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    time.sleep(3)  # for their imports
    try:
        yield
    finally:
        stop.set()
        for client in clients:
            client.join(PATIENCE)
            client.kill()


def hammer(port: int, content: bytes, stop: Event) -> None:
    """Send one body repeatedly until `stop` is set."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        while not stop.is_set():
            ask(connection, content)


def compare(name: str, took: np.ndarray, alone: np.ndarray, outcome: Outcome, log: Log) -> None:
    """Record the effect of other clients on the polite client."""
    for percent in (50, 99):
        ratio = quantile(took, percent) / quantile(alone, percent)
        outcome.measured(f"{name}.p{percent}.ratio", ratio, REQUESTS)
    log(f"beside {name}: p50 {quantile(took, 50):.2f} ms, p99 {quantile(took, 99):.2f} ms")


def quantile(values: np.ndarray, percent: int) -> float:
    """A percentile, as a number."""
    return float(np.percentile(values, percent))


def seconds_to_end(root: Path) -> float:
    """Seconds from SIGTERM to the end of a service with a half-sent request."""
    process = start(root)
    try:
        half: dict[str, Any] = {"address": ("127.0.0.1", port_of(process))}
        with closing(socket.create_connection(**half)) as connection:
            connection.sendall(
                b"POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"
            )
            time.sleep(0.5)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
            return time.monotonic() - began
    finally:
        process.kill()
        process.communicate()
