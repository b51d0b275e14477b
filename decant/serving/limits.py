"""What one client may cost all others: time for a header, a body, an answer, and connections.

uvicorn bounds the time between two requests alone; here every wait for a client has an end, and a
new connection always finds room: the one that has waited longest for its client makes it.
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

MOST_FILES = 65_536  # descriptors that are asked for at most
RESERVE = 64  # of those for following the channel, loading a release, the log
FEWEST = 8  # connections, however few descriptors there are
LONGEST_HEADER = 65_536  # bytes
FRAMING = 8  # bytes for each of a body, at most, that its chunks take besides
MOST_AHEAD = 100  # requests of one connection that wait for the answers to those before
SPARE = 1.0  # seconds after the last connection is closed until uvicorn cancels what is left
QUIET = 60.0  # seconds between two log lines about the same
IDLE, HEADER, BODY, ANSWER = "idle", "header", "body", "answer"
_REASONS = {408: b"Request Timeout", 431: b"Request Header Fields Too Large"}
_REASONS |= {400: b"Bad Request", 503: b"Service Unavailable"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """Seconds for each wait, and how many connections there may be."""

    connections: int
    header: float
    body: float
    idle: float
    shutdown: float

    @staticmethod
    def from_settings(settings: Serve) -> "Limits":
        """The limits of params.yaml; raises the process's limit of open files as far as it may."""
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
    """Raise the soft limit of open files to the hard one, up to `MOST_FILES`; returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = MOST_FILES if hard == unlimited else min(hard, MOST_FILES)
    if soft != unlimited and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return MOST_FILES if soft == unlimited else soft


class Gate:
    """The connections of one service that wait for their client, the longest first."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.waiting: dict[str, dict[BoundedProtocol, None]] = {IDLE: {}, HEADER: {}, BODY: {}}
        self._said: dict[str, float] = {}

    def move(self, connection: "BoundedProtocol", state: str) -> None:
        """Note what a connection waits for now."""
        self.leave(connection)
        if state in self.waiting:
            self.waiting[state][connection] = None

    def leave(self, connection: "BoundedProtocol") -> None:
        """Forget a connection."""
        for connections in self.waiting.values():
            connections.pop(connection, None)

    def make_room(self, newcomer: "BoundedProtocol") -> bool:
        """End the connection that has waited longest, those without a request first."""
        self.warn(
            f"{self.limits.connections} connections are open, as many as may be: those that wait "
            "longest for their client are closed for new ones"
        )
        for connections in self.waiting.values():
            victim = next((c for c in connections if c is not newcomer), None)
            if victim is not None:
                victim.abort()
                return True
        return False

    def warn(self, line: str) -> None:
        """Log a line, the same one a minute at most."""
        now = time.monotonic()
        if now - self._said.get(line, -QUIET) >= QUIET:
            self._said[line] = now
            logger.warning("%s", line)


class TooManyAheadError(Exception):
    """Requests of one connection wait for one another; stops the parser, which answers 400."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection: a state, and a deadline for leaving it."""

    gate: Gate

    def connection_made(self, transport: Any) -> None:
        """Take a connection, if need be in the place of another."""
        super().connection_made(transport)
        self.deadline: asyncio.TimerHandle | None = None
        self.header_bytes = self.body_bytes = self.content_bytes = 0
        self.reading = False  # the body of a request
        self.ending: asyncio.TimerHandle | None = None  # closes it in any case
        self.state = IDLE
        if len(self.connections) > self.gate.limits.connections and not self.gate.make_room(self):
            self.refuse(503, "too many requests are under way; try again")
            return
        self.enter(HEADER)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it, however it ended."""
        self._stop()
        if self.ending is not None:
            self.ending.cancel()
        self.gate.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on, unless a header never ends or the service takes no further request."""
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
            self.gate.warn("a body had more framing than content: its connection is closed")
            self.give_up(self.state, 400, "the body has more framing than content")

    def on_message_begin(self) -> None:
        """A request begins; too many that wait for one another end the connection."""
        if len(self.pipeline) >= MOST_AHEAD:
            self.gate.warn(f"more than {MOST_AHEAD} requests of one connection wait: it is closed")
            self.abort()
            raise TooManyAheadError
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the header; those behind a body say nothing that is asked for."""
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
        """A request is complete, its answer follows or was given already."""
        super().on_message_complete()
        self.reading = False
        self.enter(IDLE if self.cycle.response_complete else ANSWER)

    def on_response_complete(self) -> None:
        """An answer is on its way; the connection waits for the next request."""
        super().on_response_complete()
        if not self.reading and not self.transport.is_closing():
            self.enter(IDLE if self.cycle.response_complete else ANSWER)

    def timeout_keep_alive_handler(self) -> None:
        """End an idle connection, also one whose client does not take the answer."""
        self.abort()

    def shutdown(self) -> None:
        """The service is to end: a request under way may end before that, nothing else."""
        if self.state in (IDLE, HEADER):
            self.abort()
            return
        super().shutdown()
        self.ending = self.loop.call_later(self.gate.limits.shutdown, self.end)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP as every endpoint answers."""
        self.refuse(400, "the request is not valid HTTP")

    def enter(self, state: str) -> None:
        """Go on to a state; it has to be left within its time."""
        self._stop()
        self.state = state
        self.gate.move(self, state)
        limits = self.gate.limits
        seconds = {HEADER: limits.header, BODY: limits.body, ANSWER: limits.body}.get(state)
        if seconds is not None:
            self.deadline = self.loop.call_later(seconds, self.expire, state, seconds)

    def expire(self, state: str, seconds: float) -> None:
        """End a connection whose client was too slow."""
        self.gate.warn(
            f"the {state} of a request took longer than {seconds:g} s: its connection is closed"
        )
        self.give_up(state, 408, f"the {state} was not complete within {seconds:g} s")

    def end(self) -> None:
        """End a connection whose client was too slow for the end of the service."""
        self.gate.warn(
            f"the {self.state} of a request is not complete {self.gate.limits.shutdown:g} s after "
            "the signal to end: its connection is closed"
        )
        self.give_up(self.state, 503, "the service ends; try again")

    def give_up(self, state: str, status: int, message: str) -> None:
        """Answer a request that is not complete, and close; close only, where that is too late."""
        answered = state != HEADER and self.cycle.response_complete
        if answered or state == ANSWER or self.transport.get_write_buffer_size():
            self.abort()
        else:
            self.refuse(status, message)

    def refuse(self, status: int, message: str) -> None:
        """Answer by hand and close."""
        self._stop()
        if self.transport.is_closing():
            return
        content = orjson.dumps({"error": message})
        head = b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
        head %= (status, _REASONS[status], len(content))
        self.transport.write(head + b"connection: close\r\n\r\n" + content)
        self.transport.close()

    def abort(self) -> None:
        """Close at once, whatever is still to be sent."""
        self._stop()
        self.transport.abort()

    def _stop(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None


class BoundedServer(uvicorn.Server):
    """A server that SIGTERM or Ctrl-C ends in order and within a bound, a second one at once."""

    interrupted = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal."""
        self.force_exit = self.should_exit
        self.should_exit = True
        self.interrupted |= sig == signal.SIGINT
        if self.force_exit:
            for connection in list(self.server_state.connections):
                connection.abort()  # type: ignore[union-attr]  # all are BoundedProtocol

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the connections, then the app, which uvicorn leaves out where it is in haste."""
        await super().shutdown(sockets)
        if self.force_exit:
            await self.lifespan.shutdown()


def make_server(app: Any, limits: Limits) -> BoundedServer:
    """A server for an app, within limits."""
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
