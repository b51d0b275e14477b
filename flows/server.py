"""A Prefect server: a temporary one for a single run, or the one behind `make ui`.

Both end with the process that started them, however that ends.
"""

import atexit
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, PREFECT_UI_URL, temporary_settings

from decant.starter import signature
from tasks.run import Told

STARTUP_SECONDS = 90.0
ANSWER_SECONDS = 10.0


class ServerFailed(Told):
    """The Prefect server did not start, or does not answer."""


@contextmanager
def temporary_server(meanwhile: AbstractContextManager[Any]) -> Iterator[str]:
    """Address of a server for this run: the one that is configured, else one of its own.

    `meanwhile` is entered while it starts. Its own server is stopped when the interpreter ends,
    after Prefect has sent the last log lines.

    Raises:
        ServerFailed: there is none that answers.
    """
    configured = configured_server()
    if configured:
        with meanwhile:
            yield configured
        return
    process, address = start_server("127.0.0.1", free_port(), ephemeral=True)
    atexit.register(stop, process)
    settings = {PREFECT_API_URL: f"{address}/api", PREFECT_UI_URL: ""}
    with meanwhile:
        wait_until_healthy(process, address)
        with temporary_settings(settings):
            yield address


def configured_server() -> str | None:
    """Address of the server that PREFECT_API_URL names; None if it names none.

    Raises:
        ServerFailed: it does not answer.
    """
    address = PREFECT_API_URL.value()
    if not address:
        return None
    with get_client(httpx_settings={"timeout": ANSWER_SECONDS}, sync_client=True) as client:
        problem = client.api_healthcheck()
    if problem:
        why = str(problem).partition("\n")[0] or type(problem).__name__
        raise ServerFailed(
            f"no Prefect server answers at {address}, which PREFECT_API_URL names ({why}): start "
            "it, or unset PREFECT_API_URL, then a run brings its own"
        )
    return str(address)


@contextmanager
def lasting_server(host: str, port: int) -> Iterator[str]:
    """Run a server with its UI, wait until it answers, end it with the block; yields its address.

    Raises:
        ServerFailed: nobody can listen on the port, or it did not answer in time.
    """
    try_port(host, port)
    process, address = start_server(host, port, ephemeral=False)
    try:
        wait_until_healthy(process, address)
        with temporary_settings({PREFECT_API_URL: f"{address}/api"}):
            yield address
    finally:
        stop(process)


def start_server(host: str, port: int, *, ephemeral: bool) -> tuple[subprocess.Popen[bytes], str]:
    """Start a server as a child that ends with this process; returns it and its address.

    What an ephemeral one complains of goes to a file, and not between the lines of the run.
    """
    address = f"http://{host}:{port}"
    code = str(Path(__file__).resolve().parents[1])
    log = server_log()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "flows.server", host, str(port)),
            "ephemeral" if ephemeral else "lasting",
        ],
        env={
            **os.environ,
            "PREFECT_SERVER_UI_API_URL": f"{address}/api",
            "PYTHONPATH": os.pathsep.join(filter(None, [code, os.getenv("PYTHONPATH")])),
            **signature(),
        },
        stdin=subprocess.DEVNULL,
        stderr=log.open("wb") if ephemeral else None,
        start_new_session=True,
    )
    return process, address


def server_log() -> Path:
    """Where a temporary server writes its errors, beside the database: its folder is made."""
    home = Path(PREFECT_HOME.value())
    home.mkdir(parents=True, exist_ok=True)
    return home / "server.log"


def wait_until_healthy(process: subprocess.Popen[bytes], address: str) -> None:
    """Return when the server answers.

    Raises:
        ServerFailed: it ended, or took longer than 90 s.
    """
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerFailed(
                f"the Prefect server ended with status {process.returncode}; {server_log()} may "
                "say why"
            )
        try:
            if httpx.get(f"{address}/api/health", timeout=2).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise ServerFailed(f"the Prefect server did not answer within {STARTUP_SECONDS:.0f} s")


def stop(process: subprocess.Popen[bytes], patience: float = 5.0) -> None:
    """Ask a process to end, then make it."""
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def try_port(host: str, port: int) -> None:
    """See that a server could listen there.

    Raises:
        ServerFailed: the port is taken or not allowed.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            why = str(error.strerror).lower()
            raise ServerFailed(f"port {port}: {why}; choose another one with PORT=…") from None


def main(arguments: list[str]) -> None:
    """Be the server: HOST PORT ephemeral|lasting."""
    host, port, kind = arguments
    import uvicorn
    from prefect.server.api.server import create_app

    app = create_app(ephemeral=kind == "ephemeral", final=True)
    uvicorn.run(app, host=host, port=int(port), log_level="error", lifespan="on")


if __name__ == "__main__":
    main(sys.argv[1:])
