"""The commands of the service: `recommend` once, `serve` over HTTP."""

import argparse
import logging
import os
import re
import socket
import sys
from pathlib import Path
from typing import Any

import msgspec

from decant.cli import INTERRUPTED, port
from decant.commands.parser import add_channel, add_command, add_json
from decant.features.encode import Attribute
from decant.params.load import load_params
from decant.release.registry import PRODUCTION
from decant.serving.reload import Current, open_source
from decant.serving.requests import DEFAULT_K, RecommendAnswer, respond

POLL = 1.0  # seconds
SHOWN_VALUES = 10  # of one attribute, in a note
BACKLOG = 2048  # connections waiting to be accepted
NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")  # seconds since the epoch


class OptionError(ValueError):
    """An option's value cannot be used."""


class PortError(ValueError):
    """The service cannot listen on this address."""


def add_commands(subparsers: Any) -> None:
    """Register the commands; each sets `func`, which returns the exit status."""
    recommend = add_command(
        subparsers,
        "recommend",
        "Print the best items for a user, from the release that a channel points at.",
        _recommend,
    )
    recommend.add_argument(
        "--user",
        default="{}",
        metavar="JSON",
        help='attributes of the user, such as {"age": 28, "gender": "F"}; default: none',
    )
    history = recommend.add_mutually_exclusive_group()
    history.add_argument(
        "--history", metavar="ID,ID", help="items of the user's history, oldest first"
    )
    history.add_argument(
        "--events",
        metavar="FILE",
        help="the history with behaviours and times: a JSON list as in POST /recommend; -: stdin",
    )
    recommend.add_argument(
        "--now",
        metavar="TIME",
        help="the moment to recommend for, such as 2026-03-01T12:00:00Z; default: the clock's",
    )
    recommend.add_argument(
        "-k", type=int, default=DEFAULT_K, help=f"number of items; default: {DEFAULT_K}"
    )
    add_channel(recommend, PRODUCTION, "the channel of the release")
    add_json(recommend, "print the service's answer as JSON")
    serve = add_command(
        subparsers,
        "serve",
        "Serve the release that a channel points at over HTTP, and follow the channel: a newly "
        "promoted release is live within seconds, without dropping requests. The printed address "
        "is a page to try it.",
        _serve,
    )
    add_channel(serve, PRODUCTION, "the channel to follow")
    serve.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; default: 127.0.0.1"
    )
    serve.add_argument(
        "--port", type=port, default=8080, help="port to listen on, 0: any free; default: 8080"
    )
    serve.add_argument(
        "--poll",
        type=float,
        default=POLL,
        metavar="SECONDS",
        help=f"interval between checks of the channel; default: {POLL:g}",
    )


def request_body(
    user: str, history: str | None, events: str | None, k: int, now: str | None = None
) -> bytes:
    """Encode the options of `decant recommend` as the body of POST /recommend.

    Raises:
        OptionError: --user or --events is not JSON. OSError: the file cannot be read.
    """
    request: dict[str, Any] = {"user": _parsed("--user", user.encode()), "k": k}
    if now is not None:
        request["now"] = float(now) if NUMBER.fullmatch(now) else now
    if events is not None:
        content = sys.stdin.buffer.read() if events == "-" else Path(events).read_bytes()
        request["history"] = _parsed(f"--events {events}", content)
    elif history:
        request["history"] = [item.strip() for item in history.split(",") if item.strip()]
    return msgspec.json.encode(request)


def describe(answer: RecommendAnswer) -> str:
    """Format an answer as a table."""
    width = max([4, *(len(scored.item) for scored in answer.items)])
    rows = [f"{n:>3}  {s.item:<{width}}  {s.score:>9.4f}" for n, s in enumerate(answer.items, 1)]
    head = f"{'':>3}  {'item':<{width}}  {'score':>9}"
    foot = f"student {answer.student} · segment {answer.segment} · release {answer.release}"
    return "\n".join([head, *rows, foot])


def known_values(attribute: Attribute) -> str:
    """Format the values of an attribute that a release knows."""
    if attribute.edges is not None:
        return "numbers"
    more = len(attribute.values) - SHOWN_VALUES
    shown = ", ".join(attribute.values[:SHOWN_VALUES])
    return shown + (f" and {more} more" if more > 0 else "")


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket.

    Raises:
        PortError: the address is taken, not permitted or not of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        number = error.errno if isinstance(error, OSError) and error.errno else 0
        reason = os.strerror(number) if number > 0 else str(error)  # negative: no such host
        raise PortError(
            f"cannot listen on {host} port {port}: {reason.lower()}; choose another with --host "
            "and --port"
        ) from None


def _recommend(arguments: argparse.Namespace) -> int:
    body = request_body(
        arguments.user, arguments.history, arguments.events, arguments.k, arguments.now
    )
    source = open_source(arguments.root, arguments.channel)
    family = source.load(source.pointer().release)
    max_events = load_params(arguments.root / "params.yaml").serve.max_events
    document = respond(family, body, max_events)
    answer = msgspec.json.decode(document, type=RecommendAnswer)
    if arguments.json:
        sys.stdout.buffer.write(document + b"\n")  # JSON is UTF-8, whatever the terminal's encoding
    else:
        print(describe(answer))
    for what, names in (("items", answer.unknown_items), ("attributes", answer.unknown_attributes)):
        if names:
            note = f"decant: note: ignored, the release does not know these {what}: "
            print(note + ", ".join(names), file=sys.stderr)
    for name in answer.unknown_values:
        known = known_values(family.encoder.attributes[name])
        note = f"decant: note: treated as missing, the release does not know this value of {name}"
        print(f"{note}; it knows {known}", file=sys.stderr)
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    from decant.serving.app import create_app
    from decant.serving.limits import Limits, make_server

    if not arguments.poll > 0:
        raise OptionError(f"invalid --poll {arguments.poll:g}: expected seconds above 0")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    current = Current(open_source(arguments.root, arguments.channel))
    with listen(arguments.host, arguments.port) as listening:
        host, number = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        settings = load_params(arguments.root / "params.yaml").serve
        server = make_server(
            create_app(current, arguments.poll, settings), Limits.from_settings(settings)
        )
        print(f"http://{shown}:{number}/docs (Ctrl-C ends it)", flush=True)
        server.run(sockets=[listening])
    return INTERRUPTED if server.interrupted else 0


def _parsed(option: str, content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{option}: not valid JSON: {error}") from None
