"""The page, served to a browser on this machine."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from loss_dashboard.alerts.live_list import LiveList
from loss_dashboard.curves.view_options import ViewOptions

from . import _page_files
from ._event_stream import EventStream
from ._security import Headers, Limits, Token
from .groups.group_sessions import GroupSessions
from .run_registry import describe

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams
    from starlette.requests import Request

    from .run_registry import RunRegistry

LOOPBACK = ["127.0.0.1", "localhost", "[::1]"]
ASSETS = {
    "styles.css": ("text/css", _page_files.style),
    "scripts.js": ("text/javascript", _page_files.script),
}


def make_app(
    registry: RunRegistry, *, hosts: list[str] | None = None, token: str = ""
) -> Starlette:
    """The application for these runs; it answers questions and changes nothing.

    Args:
        registry: The runs to show.
        hosts: The names under which it may be asked for; by default those of this machine.
        token: What a request has to bring, if anything.
    """
    server = _Server(registry)
    # Between two programs of one machine, packing what is told again and again costs too much.
    packed = [Middleware(GZipMiddleware, minimum_size=2000, compresslevel=3)]
    is_far = not set(hosts or LOOPBACK) <= set(LOOPBACK)
    routes = [
        Route("/", server.page, middleware=packed),
        Route("/api/runs", server.runs),
        Route("/api/table", server.table, middleware=packed if is_far else []),
        Route("/api/views", server.views, middleware=packed if is_far else []),
        Route("/api/changes", server.changes),
        Route("/api/groups", server.groups, middleware=packed if is_far else []),
        Route("/{name}", server.asset, middleware=packed),
    ]
    middleware = [
        Middleware(TrustedHostMiddleware, allowed_hosts=hosts or LOOPBACK),
        Middleware(Headers),
        Middleware(Limits),
        Middleware(Token, token=token),
    ]
    return Starlette(routes=routes, middleware=middleware)


class _Server:
    """The answers, one method each."""

    def __init__(self, registry: RunRegistry) -> None:
        self._registry = registry
        self._groups = GroupSessions(registry.folders, registry.holds)
        self._list = LiveList(registry.runs, [*registry.caches.values()])

    async def page(self, _: Request) -> Response:
        return Response(_page_files.document(), media_type="text/html")

    async def asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in ASSETS:
            return PlainTextResponse("There is no such file.", 404)
        kind, content = ASSETS[name]
        return Response(content(), media_type=kind)

    async def runs(self, _: Request) -> Response:
        runs = await run_in_threadpool(self._registry.runs)
        places = [str(place) for place in self._registry.places]
        listed = [describe(key, run) for key, run in runs.items()]
        return _json(orjson.dumps({"places": places, "runs": listed}))

    async def table(self, request: Request) -> Response:
        try:
            since = int(request.query_params.get("since") or 0)
        except ValueError:
            return PlainTextResponse("A number is needed.", 400)
        told = await run_in_threadpool(self._list.answer, since)
        return _json(orjson.dumps(told))

    async def views(self, request: Request) -> Response:
        stream = await run_in_threadpool(self._stream, request.query_params)
        if isinstance(stream, Response):
            return stream
        await run_in_threadpool(stream.poll)
        return _json(await run_in_threadpool(stream.tell))

    async def changes(self, request: Request) -> Response:
        stream = await run_in_threadpool(self._stream, request.query_params)
        if isinstance(stream, Response):
            return stream
        if request.method == "HEAD":  # it would be the head of an answer that has no end
            return Response(media_type="text/event-stream")
        is_ending = getattr(request.app.state, "is_ending", bool)
        return StreamingResponse(stream.changes(is_ending), media_type="text/event-stream")

    async def groups(self, request: Request) -> Response:
        """The runs in groups, or nothing where the page has seen that already."""
        query = request.query_params
        try:
            options = _options(query)
        except ValueError:
            return PlainTextResponse("A number is needed.", 400)
        by, seen = query.get("group", ""), query.get("seen", "")
        told = await run_in_threadpool(self._groups.tell, query.getlist("run"), by, options, seen)
        return Response(status_code=204) if told is None else _json(orjson.dumps(told))

    def _stream(self, query: QueryParams) -> EventStream | Response:
        """What a query asks for, or why there is no such thing."""
        try:
            options = _options(query)
        except ValueError:
            return PlainTextResponse("A number is needed.", 400)
        sessions = [self._registry.session(key) for key in query.getlist("run")]
        found = [session for session in sessions if session]
        if not found or len(found) < len(sessions):
            return PlainTextResponse("There is no such run.", 404)
        return EventStream(found, options)


def _options(query: QueryParams) -> ViewOptions:
    """What the query asks for; nobody gets more points than a screen has."""
    return ViewOptions(
        first=_number(query.get("first")),
        last=_number(query.get("last")),
        follow=query.get("follow") == "1",
        smoothing=min(max(int(query.get("smooth") or 0), 0), 1_000_000),
        points=min(max(int(query.get("points") or 600), 60), 4000),
    )


def _number(text: str | None) -> float | None:
    if not text:
        return None
    number = float(text)
    if not isfinite(number):
        msg = f"a finite number is needed; got {text}"
        raise ValueError(msg)
    return number


def _json(content: bytes) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(content, headers=headers, media_type="application/json")
