"""The HTTP service: recommendations from the release that a channel points at."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from decant.params.release import Serve
from decant.release.provenance import version
from decant.runtime.engine import RequestError, StudentFailedError
from decant.serving.openapi import JSON, Endpoint, document
from decant.serving.page import docs_page, example
from decant.serving.reload import Current, Served
from decant.serving.requests import (
    MAX_BODY,
    MalformedError,
    RecommendAnswer,
    RecommendRequest,
    ask,
    encode,
)

POLL = 1.0  # seconds between checks of the channel
FIRST_LOOK = 5.0  # seconds that requests wait for the first release on startup
TITLE = "Decant"
VERSION = version("decant") or "unknown"

logger = logging.getLogger(__name__)


class Problem(msgspec.Struct, frozen=True):
    """An error, in one line."""

    error: Annotated[str, msgspec.Meta(description="the reason, in one line")]


class LoadingRelease(msgspec.Struct, frozen=True):
    """The release being loaded."""

    release: Annotated[str, msgspec.Meta(description="id of that release")]
    since: Annotated[str, msgspec.Meta(description="when loading began")]


class Unready(msgspec.Struct, frozen=True):
    """No release is served; the reason, and the release being loaded, if any."""

    error: Annotated[str, msgspec.Meta(description="the reason, in one line")]
    loading: Annotated[
        LoadingRelease | None, msgspec.Meta(description="the release being loaded, if any")
    ] = None


class Health(msgspec.Struct, frozen=True):
    """The served release; `problem`: why the channel's last change could not be followed."""

    status: Annotated[str, msgspec.Meta(description="always `ok`")]
    channel: Annotated[str, msgspec.Meta(description="the channel that the service follows")]
    release: Annotated[str, msgspec.Meta(description="id of the served release")]
    students: Annotated[list[str], msgspec.Meta(description="the students of the release")]
    items: Annotated[int, msgspec.Meta(description="size of the catalogue, the largest k")]
    since: Annotated[str, msgspec.Meta(description="when the channel was pointed at the release")]
    loaded: Annotated[str, msgspec.Meta(description="when this process loaded the release")]
    unknown_events: Annotated[
        int,
        msgspec.Meta(
            description="events of unknown items in all requests since this process started"
        ),
    ]
    loading: Annotated[
        LoadingRelease | None, msgspec.Meta(description="the release to be served next")
    ] = None
    problem: Annotated[
        str | None,
        msgspec.Meta(
            description="why the channel's last change could not be followed; null: no problem"
        ),
    ] = None


ENDPOINTS = (
    Endpoint(
        "/recommend",
        "POST",
        "The k best items for a user",
        {
            200: ("the best items, best first", RecommendAnswer),
            400: ("the body is not JSON", Problem),
            408: ("the header or the body was not complete in time", Problem),
            413: (f"the body is larger than {MAX_BODY} bytes", Problem),
            422: ("an invalid key, type or value, or an unknown behaviour", Problem),
            503: ("no release is loaded", Problem),
        },
        RecommendRequest,
    ),
    Endpoint(
        "/healthz",
        "GET",
        "The served release",
        {200: ("a release is served", Health), 503: ("no release is loaded", Unready)},
    ),
)


@dataclass
class ServedRequests:
    """Counters of this process over all requests."""

    unknown_events: int = 0


def create_app(current: Current, poll: float = POLL, settings: Serve | None = None) -> Starlette:
    """Build the service on `current`, which checks its channel every `poll` seconds."""
    settings = settings or Serve()

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        looked, ended = threading.Event(), threading.Event()
        # a daemon: a store that does not answer must not delay shutdown
        following = threading.Thread(
            target=follow, args=(current, poll, looked, ended), name="follow", daemon=True
        )
        following.start()
        await asyncio.to_thread(looked.wait, FIRST_LOOK)
        yield
        current.end()
        ended.set()

    return Starlette(
        routes=_routes(current, settings.max_events),
        exception_handlers={
            Exception: _unexpected,
            HTTPException: _http_problem,
            ClientDisconnect: _gone,
        },
        lifespan=lifespan,
    )


def follow(current: Current, poll: float, looked: threading.Event, ended: threading.Event) -> None:
    """Keep `current` on its channel until `ended`; sets `looked` after the first check."""
    while not ended.is_set():
        current.refresh()
        looked.set()
        ended.wait(poll)


def _routes(current: Current, max_events: int) -> list[Route]:
    counts = ServedRequests()

    async def recommend(request: Request) -> Response:
        body = await read_body(request)
        if body is None:
            return problem(413, f"the body is larger than {MAX_BODY} bytes; send less history")
        return answer(current, counts, body, max_events)

    async def healthz(_: Request) -> Response:
        served, loading = current.served, loading_release(current)
        if served is None:
            unready = msgspec.json.encode(Unready(unavailable_because(current), loading))
            return Response(unready, status_code=503, media_type=JSON)
        report = health(served, counts, loading, current.problem)
        return Response(msgspec.json.encode(report), media_type=JSON)

    async def root(_: Request) -> Response:
        return RedirectResponse("docs")

    async def docs(_: Request) -> Response:
        return HTMLResponse(docs_page(openapi(current.served)))

    async def schema(_: Request) -> Response:
        return Response(orjson.dumps(openapi(current.served)), media_type=JSON)

    return [
        _route("POST", "/recommend", recommend),
        _route("GET", "/healthz", healthz),
        _route("GET", "/", root),
        _route("GET", "/docs", docs),
        _route("GET", "/openapi.json", schema),
    ]


def _route(method: str, path: str, handler: Callable[[Request], Awaitable[Response]]) -> Route:
    """Route one method only; Starlette would add HEAD to GET."""
    route = Route(path, handler, methods=[method])
    route.methods = {method}
    return route


def answer(current: Current, counts: ServedRequests, body: bytes, max_events: int) -> Response:
    """Answer the body of a request, or return its error."""
    served = current.served
    if served is None:
        return unavailable(current)
    try:
        best = ask(served.family, body, max_events)
        counts.unknown_events += best.unknown_events
        return Response(encode(best), media_type=JSON)
    except MalformedError as error:
        return problem(400, str(error))
    except RequestError as error:
        return problem(422, str(error))
    except StudentFailedError as error:
        logger.warning("%s", error)
        return problem(503, str(error))


async def read_body(request: Request) -> bytes | None:
    """Read the body; None if it is larger than MAX_BODY, without reading it all."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > MAX_BODY:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            return None
    return bytes(body)


def health(
    served: Served, counts: ServedRequests, loading: LoadingRelease | None, trouble: str | None
) -> Health:
    """Build the answer of /healthz while a release is served."""
    return Health(
        status="ok",
        channel=served.change.channel,
        release=served.family.release,
        students=served.family.students,
        items=len(served.family.encoder.items),
        since=served.change.at.isoformat(),
        loaded=datetime.fromtimestamp(served.family.loaded_at, UTC).isoformat(),
        unknown_events=counts.unknown_events,
        loading=loading,
        problem=trouble,
    )


def loading_release(current: Current) -> LoadingRelease | None:
    """Describe the release that is being loaded, if any."""
    loading = current.loading
    return None if loading is None else LoadingRelease(loading.release, loading.since.isoformat())


def problem(status: int, message: str) -> Response:
    """Build the response of an error: `{"error": one line}`."""
    content = orjson.dumps({"error": " ".join(message.split())})
    return Response(content, status_code=status, media_type=JSON)


def unavailable(current: Current) -> Response:
    """Build the response while no release is loaded."""
    return problem(503, unavailable_because(current))


def unavailable_because(current: Current) -> str:
    """Explain in one line why no release is served."""
    loading = current.loading
    reason = " ".join((current.problem or "no release is loaded yet").split())
    return f"{reason}; release {loading.release} is being loaded" if loading else reason


def openapi(served: Served | None) -> dict[str, Any]:
    """Describe the service, with an example that the served release can answer."""
    info = {"title": TITLE, "version": VERSION, "description": __doc__}
    return document(info, ENDPOINTS, {"/recommend": example(served.family if served else None)})


async def _http_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    hint = "; available: POST /recommend, GET /healthz, GET /docs"
    response = problem(error.status_code, f"{str(error.detail).lower()}{hint}")
    response.headers.update(error.headers or {})
    return response


async def _gone(_: Request, error: Exception) -> Response:
    return problem(400, "the connection was closed before the body was complete")


async def _unexpected(_: Request, error: Exception) -> Response:
    return problem(500, "internal error; see the service's log")
