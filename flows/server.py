"""A Prefect server: a temporary one for a single run, or the one behind `make ui`.

Both end with the process that started them, however that ends.
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
    """A server's process and its address; `log`: where it writes its errors, None: on stderr."""

    process: subprocess.Popen[bytes]
    address: str
    log: Path | None


@contextmanager
def temporary_server(meanwhile: AbstractContextManager[Any]) -> Iterator[str]:
    """Address of a server for this run: the one that is configured, else one of its own.

    `meanwhile` is entered while it starts. Its own server is stopped when the interpreter ends,
    after Prefect has sent the last log lines. Where Prefect's home cannot be used, it has another
    one in the workspace.

    Raises:
        ServerError: there is none that answers. UnusableError: there is no home for one.
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
        homes.note(f"{trouble}; this run goes on with {homes.SPARE}")
    server = start_temporary(home)
    with meanwhile:
        try:
            wait_until_healthy(server)
        except ServerError as error:
            stop(server.process)
            if home == spare or homes.trouble(spare) is not None:
                raise
            homes.note(f"{error}; this run goes on with {homes.SPARE}")
            home, server = spare, start_temporary(spare)
            wait_until_healthy(server)
        settings = {PREFECT_API_URL: f"{server.address}/api", PREFECT_UI_URL: ""}
        with temporary_settings({**settings, PREFECT_HOME: home}):
            yield server.address


def start_temporary(home: Path) -> Server:
    """Start a server for this run alone, which ends with the interpreter."""
    server = start_server("127.0.0.1", free_port(), home, ephemeral=True)
    atexit.register(stop, server.process)
    return server


def configured_server() -> str | None:
    """Address of the server that PREFECT_API_URL names; None if it names none.

    Raises:
        ServerError: it does not answer.
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
            "it, or unset PREFECT_API_URL, then a run brings its own"
        )
    return str(address)


@contextmanager
def lasting_server(host: str, port: int) -> Iterator[str]:
    """Run a server with its UI, wait until it answers, end it with the block; yields its address.

    Raises:
        ServerError: nobody can listen on the port, or it did not answer in time.
        UnusableError: Prefect's home, or its database.
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

    What an ephemeral one complains of goes to a file, and not between the lines of the run.
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
    """Whether a server would work with the database in a home, and not with one named elsewhere."""
    return str(PREFECT_API_DATABASE_CONNECTION_URL.value()).endswith(f"/{home / homes.DATABASE}")


def own_database(home: Path) -> dict[str, str]:
    """What a server's environment needs to work with a home that is not the one it would take."""
    if home == Path(PREFECT_HOME.value()):
        return {}
    database = f"sqlite+aiosqlite:///{home / homes.DATABASE}"
    names = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")
    return {homes.HOME: str(home), **dict.fromkeys(names, database)}


def opened(log: Path) -> IO[bytes] | int:
    """A file that a server writes its errors to; nothing is kept where there can be none."""
    try:
        return log.open("wb")
    except OSError:
        return subprocess.DEVNULL


def last_words(log: Path | None) -> str:
    """The error that a server ended with, in one line; where it is not known, nothing."""
    if log is None:
        return ""
    if shutil.disk_usage(log.parent).free < SCARCE:
        return f": the disk of {log.parent} is full, make room"
    try:
        said = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    errors = _EXCEPTION.findall(said) or said.strip().splitlines()
    return f": {errors[-1]} (see {log})" if errors else ""


def wait_until_healthy(server: Server) -> None:
    """Return when the server answers.

    Raises:
        ServerError: it ended, or took longer than 90 s.
    """
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline:
        status = server.process.poll()
        if status is not None:
            why = last_words(server.log)
            raise ServerError(f"the Prefect server ended with status {status}{why}")
        try:
            if httpx.get(f"{server.address}/api/health", timeout=2).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise ServerError(f"the Prefect server did not answer within {STARTUP_SECONDS:.0f} s")


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
        ServerError: the port is taken or not allowed.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            why = str(error.strerror).lower()
            raise ServerError(f"port {port}: {why}; choose another one with PORT=…") from None


def main(arguments: list[str]) -> None:
    """Be the server: HOST PORT ephemeral|lasting."""
    host, port, kind = arguments
    import uvicorn
    from prefect.server.api.server import create_app

    app = create_app(ephemeral=kind == "ephemeral", final=True)
    uvicorn.run(app, host=host, port=int(port), log_level="error", lifespan="on")


if __name__ == "__main__":
    main(sys.argv[1:])
