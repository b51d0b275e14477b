"""Prefect servers: a temporary one for a single run, or the one behind `make ui`.

Both end with the process that started them, even if it is killed.
"""

import atexit
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
from prefect.client.orchestration import get_client
from prefect.settings import (
    PREFECT_API_DATABASE_CONNECTION_URL,
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_UI_URL,
    temporary_settings,
)

from decant.starter import signature
from flows import home as homes
from flows.console import SCARCE
from tasks.runner.dvc_stages import ReportedError

STARTUP_SECONDS = 90.0
ANSWER_SECONDS = 10.0
LOG = "server.log"
_EXCEPTION = re.compile(r"^(?:[a-z_]\w*\.)*[A-Z]\w*(?:Error|Exception): .+", re.MULTILINE)


class ServerError(ReportedError):
    """The Prefect server did not start, or does not answer."""


@dataclass(frozen=True)
class Server:
    """A server's process and address; `log`: file of its errors, None: stderr."""

    process: subprocess.Popen[bytes]
    address: str
    log: Path | None


@contextmanager
def temporary_server(meanwhile: AbstractContextManager[Any]) -> Iterator[str]:
    """Yield the address of a server for this run: the configured one, else a temporary one.

    `meanwhile` is entered while the server starts. A temporary server stops when the interpreter
    exits, after Prefect has sent the last log lines. If Prefect's home is unusable, the server
    uses a spare home in the workspace.

    Raises:
        ServerError: no server answers. UnusableError: no home is usable.
    """
    configured = configured_server()
    if configured:
        with meanwhile:
            yield configured
        return
    spare = Path.cwd() / homes.SPARE
    usual = Path(PREFECT_HOME.value())
    home, trouble = homes.usable(Path.cwd(), usual, database=holds_database(usual))
    if trouble is not None:
        homes.note(f"{trouble}; this run uses {homes.SPARE} instead")
    server = start_temporary(home)
    with meanwhile:
        try:
            wait_until_healthy(server)
        except ServerError as error:
            stop(server.process)
            if home == spare or homes.trouble(spare) is not None:
                raise
            homes.note(f"{error}; this run uses {homes.SPARE} instead")
            home, server = spare, start_temporary(spare)
            wait_until_healthy(server)
        settings = {PREFECT_API_URL: f"{server.address}/api", PREFECT_UI_URL: ""}
        with temporary_settings({**settings, PREFECT_HOME: home}):
            yield server.address


def start_temporary(home: Path) -> Server:
    """Start a server for this run only; it stops when the interpreter exits."""
    server = start_server("127.0.0.1", free_port(), home, ephemeral=True)
    atexit.register(stop, server.process)
    return server


def configured_server() -> str | None:
    """Address of the server that PREFECT_API_URL names; None if unset.

    Raises:
        ServerError: the server does not answer.
    """
    address = PREFECT_API_URL.value()
    if not address:
        return None
    with get_client(httpx_settings={"timeout": ANSWER_SECONDS}, sync_client=True) as client:
        problem = client.api_healthcheck()
    if problem:
        why = str(problem).partition("\n")[0] or type(problem).__name__
        raise ServerError(
            f"no Prefect server answers at {address}, which PREFECT_API_URL names ({why}): start "
            "it, or unset PREFECT_API_URL to let a run start a temporary one"
        )
    return str(address)


@contextmanager
def lasting_server(host: str, port: int) -> Iterator[str]:
    """Start a server with its UI, yield its address once it answers, stop it on exit.

    Raises:
        ServerError: the port cannot be used, or the server did not answer in time.
        UnusableError: Prefect's home or its database cannot be used.
    """
    try_port(host, port)
    home = Path(PREFECT_HOME.value())
    trouble = homes.trouble(home, database=holds_database(home))
    if trouble is not None:
        raise trouble
    server = start_server(host, port, home, ephemeral=False)
    try:
        wait_until_healthy(server)
        with temporary_settings({PREFECT_API_URL: f"{server.address}/api"}):
            yield server.address
    finally:
        stop(server.process)


def start_server(host: str, port: int, home: Path, *, ephemeral: bool) -> Server:
    """Start a server as a child that ends with this process.

    An ephemeral server writes its errors to a file, to keep the run's output clean.
    """
    address = f"http://{host}:{port}"
    code = str(Path(__file__).resolve().parents[1])
    log = home / LOG if ephemeral else None
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "flows.server", host, str(port)),
            "ephemeral" if ephemeral else "lasting",
        ],
        env={
            **os.environ,
            **own_database(home),
            "PREFECT_SERVER_UI_API_URL": f"{address}/api",
            "PYTHONPATH": os.pathsep.join(filter(None, [code, os.getenv("PYTHONPATH")])),
            **signature(),
        },
        stdin=subprocess.DEVNULL,
        stderr=opened(log) if log is not None else None,
        start_new_session=True,
    )
    return Server(process, address, log)


def holds_database(home: Path) -> bool:
    """Whether a server would use the database in `home` rather than one configured elsewhere."""
    return str(PREFECT_API_DATABASE_CONNECTION_URL.value()).endswith(f"/{home / homes.DATABASE}")


def own_database(home: Path) -> dict[str, str]:
    """Environment variables that make a server use `home`; empty if it is the default."""
    if home == Path(PREFECT_HOME.value()):
        return {}
    database = f"sqlite+aiosqlite:///{home / homes.DATABASE}"
    names = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")
    return {homes.HOME: str(home), **dict.fromkeys(names, database)}


def opened(log: Path) -> IO[bytes] | int:
    """Open the file for a server's errors; they are dropped if it cannot be opened."""
    try:
        return log.open("wb")
    except OSError:
        return subprocess.DEVNULL


def log_error(log: Path | None) -> str:
    """The error that ended a server, in one line; empty if unknown."""
    if log is None:
        return ""
    if shutil.disk_usage(log.parent).free < SCARCE:
        return f": the disk of {log.parent} is full: make room"
    try:
        content = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    errors = _EXCEPTION.findall(content) or content.strip().splitlines()
    return f": {errors[-1]} (see {log})" if errors else ""


def wait_until_healthy(server: Server) -> None:
    """Wait until the server answers.

    Raises:
        ServerError: it ended, or did not answer within 90 s.
    """
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline:
        status = server.process.poll()
        if status is not None:
            why = log_error(server.log)
            raise ServerError(f"the Prefect server ended with status {status}{why}")
        try:
            if httpx.get(f"{server.address}/api/health", timeout=2).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise ServerError(f"the Prefect server did not answer within {STARTUP_SECONDS:.0f} s")


def stop(process: subprocess.Popen[bytes], patience: float = 5.0) -> None:
    """Terminate a process; kill it after `patience` seconds."""
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A free port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def try_port(host: str, port: int) -> None:
    """Check that a server can listen on a port.

    Raises:
        ServerError: the port is taken or not permitted.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            why = str(error.strerror).lower()
            hint = "choose another with --port, or `make ui PORT=…`"
            raise ServerError(f"port {port}: {why}; {hint}") from None


def main(arguments: list[str]) -> None:
    """Run the server process; arguments: HOST PORT ephemeral|lasting."""
    host, port, kind = arguments
    import uvicorn
    from prefect.server.api.server import create_app

    app = create_app(ephemeral=kind == "ephemeral", final=True)
    uvicorn.run(app, host=host, port=int(port), log_level="error", lifespan="on")


if __name__ == "__main__":
    main(sys.argv[1:])
