"""Limits that protect clients from each other: time for header, body and answer, connections.

uvicorn only limits the time between two requests. Here every wait for a client is limited, and a
new connection is always accepted: the one that has waited longest for its client is closed for it.
"""

import asyncio
import logging
import resource
import signal
import socket
import time
from dataclasses import dataclass
from types import FrameType
from typing import Any

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from decant.params.release import Serve

MOST_FILES = 65_536  # upper bound of file descriptors requested
RESERVE = 64  # descriptors for following the channel, loading a release, the log
FEWEST = 8  # connections, even with fewer descriptors
LONGEST_HEADER = 65_536  # bytes
FRAMING = 8  # maximal overhead of chunks, in bytes per byte of a body
MOST_AHEAD = 100  # pipelined requests of one connection
SPARE = 1.0  # seconds from closing the last connection until uvicorn cancels the rest
QUIET = 60.0  # seconds between equal log lines
IDLE, HEADER, BODY, ANSWER = "idle", "header", "body", "answer"
_REASONS = {408: b"Request Timeout", 431: b"Request Header Fields Too Large"}
_REASONS |= {400: b"Bad Request", 503: b"Service Unavailable"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """Seconds for each wait, and the maximal number of connections."""

    connections: int
    header: float
    body: float
    idle: float
    shutdown: float

    @staticmethod
    def from_settings(settings: Serve) -> "Limits":
        """The limits of params.yaml; raises the process's limit of open files if possible."""
        files = raise_file_limit()
        fitting = max(files - RESERVE, FEWEST)
        return Limits(
            min(settings.max_connections or fitting, fitting),
            settings.header_seconds,
            settings.body_seconds,
            settings.idle_seconds,
            settings.shutdown_seconds,
        )


def raise_file_limit() -> int:
    """Raise the soft limit of open files to the hard one, up to `MOST_FILES`; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = MOST_FILES if hard == unlimited else min(hard, MOST_FILES)
    if soft != unlimited and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return MOST_FILES if soft == unlimited else soft


class Gate:
    """The connections of a service that wait for their client, longest wait first."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.waiting: dict[str, dict[BoundedProtocol, None]] = {IDLE: {}, HEADER: {}, BODY: {}}
        self._logged_at: dict[str, float] = {}

    def move(self, connection: "BoundedProtocol", state: str) -> None:
        """Record the state of a connection."""
        self.leave(connection)
        if state in self.waiting:
            self.waiting[state][connection] = None

    def leave(self, connection: "BoundedProtocol") -> None:
        """Forget a connection."""
        for connections in self.waiting.values():
            connections.pop(connection, None)

    def make_room(self, newcomer: "BoundedProtocol") -> bool:
        """Close the connection that has waited longest, starting with idle ones."""
        self.warn(
            f"{self.limits.connections} connections are open, which is the limit: those that have "
            "waited longest for their client are closed for new ones"
        )
        for connections in self.waiting.values():
            victim = next((c for c in connections if c is not newcomer), None)
            if victim is not None:
                victim.abort()
                return True
        return False

    def warn(self, line: str) -> None:
        """Log a warning, the same line at most once a minute."""
        now = time.monotonic()
        if now - self._logged_at.get(line, -QUIET) >= QUIET:
            self._logged_at[line] = now
            logger.warning("%s", line)


class TooManyAheadError(Exception):
    """Too many pipelined requests; stops the parser, which answers 400."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection: its state, and the deadline of the state."""

    gate: Gate

    def connection_made(self, transport: Any) -> None:
        """Accept a connection, closing another one if necessary."""
        super().connection_made(transport)
        self.deadline: asyncio.TimerHandle | None = None
        self.header_bytes = self.body_bytes = self.content_bytes = 0
        self.reading = False  # the body of a request
        self.ending: asyncio.TimerHandle | None = None  # forces the connection to close
        self.state = IDLE
        if len(self.connections) > self.gate.limits.connections and not self.gate.make_room(self):
            self.refuse(503, "too many requests in progress; try again")
            return
        self.enter(HEADER)

    def connection_lost(self, exc: Exception | None) -> None:
        """Clean up after a connection."""
        self._stop()
        if self.ending is not None:
            self.ending.cancel()
        self.gate.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on, unless a header is too long or the service is shutting down."""
        if self.ending is not None and not self.reading:
            return
        if self.state == IDLE:
            self.enter(HEADER)
        if self.state == HEADER:
            self.header_bytes += len(data)
        if self.reading:
            self.body_bytes += len(data)
        super().data_received(data)
        if self.state == HEADER and self.header_bytes > LONGEST_HEADER:
            self.refuse(431, f"the header is larger than {LONGEST_HEADER} bytes")
        if self.reading and self.body_bytes > LONGEST_HEADER + FRAMING * self.content_bytes:
            self.gate.warn("a body had too much chunk overhead: its connection is closed")
            self.give_up(self.state, 400, "the body has too much chunk overhead")

    def on_message_begin(self) -> None:
        """A request begins; too many pipelined requests close the connection."""
        if len(self.pipeline) >= MOST_AHEAD:
            self.gate.warn(
                f"more than {MOST_AHEAD} pipelined requests in one connection: it is closed"
            )
            self.abort()
            raise TooManyAheadError
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field; trailer fields after a body are ignored."""
        if not self.reading:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self.content_bytes += len(body)
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """A header is complete, its body follows."""
        self.header_bytes = self.body_bytes = self.content_bytes = 0
        self.reading = True
        self.enter(BODY)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request is complete; its answer follows or has been sent."""
        super().on_message_complete()
        self.reading = False
        self.enter(IDLE if self.cycle.response_complete else ANSWER)

    def on_response_complete(self) -> None:
        """An answer is sent; the connection waits for the next request."""
        super().on_response_complete()
        if not self.reading and not self.transport.is_closing():
            self.enter(IDLE if self.cycle.response_complete else ANSWER)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, even if its client does not read the answer."""
        self.abort()

    def shutdown(self) -> None:
        """Shut down: close the connection, but let a request in progress finish."""
        if self.state in (IDLE, HEADER):
            self.abort()
            return
        super().shutdown()
        self.ending = self.loop.call_later(self.gate.limits.shutdown, self.end)

    def send_400_response(self, msg: str) -> None:
        """Answer invalid HTTP in the format of the endpoints."""
        self.refuse(400, "the request is not valid HTTP")

    def enter(self, state: str) -> None:
        """Enter a state, which has to be left before its deadline."""
        self._stop()
        self.state = state
        self.gate.move(self, state)
        limits = self.gate.limits
        seconds = {HEADER: limits.header, BODY: limits.body, ANSWER: limits.body}.get(state)
        if seconds is not None:
            self.deadline = self.loop.call_later(seconds, self.expire, state, seconds)

    def expire(self, state: str, seconds: float) -> None:
        """Close a connection whose client was too slow."""
        self.gate.warn(
            f"the {state} of a request took longer than {seconds:g} s: its connection is closed"
        )
        self.give_up(state, 408, f"the {state} was not complete within {seconds:g} s")

    def end(self) -> None:
        """Close a connection whose client was too slow for the shutdown."""
        self.gate.warn(
            f"the {self.state} of a request was not complete {self.gate.limits.shutdown:g} s after "
            "the shutdown signal: its connection is closed"
        )
        self.give_up(self.state, 503, "the service is shutting down; try again")

    def give_up(self, state: str, status: int, message: str) -> None:
        """Answer an incomplete request and close; only close if it is too late to answer."""
        answered = state != HEADER and self.cycle.response_complete
        if answered or state == ANSWER or self.transport.get_write_buffer_size():
            self.abort()
        else:
            self.refuse(status, message)

    def refuse(self, status: int, message: str) -> None:
        """Send an error response and close."""
        self._stop()
        if self.transport.is_closing():
            return
        content = orjson.dumps({"error": message})
        head = b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
        head %= (status, _REASONS[status], len(content))
        self.transport.write(head + b"connection: close\r\n\r\n" + content)
        self.transport.close()

    def abort(self) -> None:
        """Close immediately, dropping unsent data."""
        self._stop()
        self.transport.abort()

    def _stop(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None


class BoundedServer(uvicorn.Server):
    """A server that shuts down in bounded time on SIGTERM or Ctrl-C, at once on a second one."""

    interrupted = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        self.force_exit = self.should_exit
        self.should_exit = True
        self.interrupted |= sig == signal.SIGINT
        if self.force_exit:
            for connection in list(self.server_state.connections):
                connection.abort()  # type: ignore[union-attr]  # all are BoundedProtocol

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the connections, then shut down the app, which uvicorn skips on a forced exit."""
        await super().shutdown(sockets)
        if self.force_exit:
            await self.lifespan.shutdown()


def make_server(app: Any, limits: Limits) -> BoundedServer:
    """Build a server for an app, with limits."""
    protocol = type("Connection", (BoundedProtocol,), {"gate": Gate(limits)})
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        log_config=None,
        log_level="error",
        access_log=False,
        timeout_keep_alive=limits.idle,  # type: ignore[arg-type]  # seconds, whole or not
        timeout_graceful_shutdown=limits.shutdown + SPARE,  # type: ignore[arg-type]
    )
    return BoundedServer(config)
