"""The page, served to a browser on this machine."""

from __future__ import annotations

import asyncio
import json
from math import isfinite
from time import monotonic
from typing import TYPE_CHECKING

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from . import _page_files
from ._doors import Headers, Token
from ._live_curves import Known
from .catalogue import describe
from .choice import Choice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request

    from ._shelf import Shelf
    from .catalogue import Catalogue

LOOPBACK = ["127.0.0.1", "localhost"]
TICK = 0.015
"""Seconds between two looks at a run that has just had a row."""

CALM = 40
"""After a silence, the next look comes after one part in so many of it: a row is late by that."""

LONGEST = 0.1
"""Seconds between two looks at a run that is written, however long it has been silent."""

REST = 1.0
"""Seconds between two looks at a run that is not written."""

PULSE = 15.0
"""After so many quiet seconds a stream says that it is still there."""

ASSETS = {
    "styles.css": ("text/css", _page_files.style),
    "scripts.js": ("text/javascript", _page_files.script),
}


def make_app(catalogue: Catalogue, *, hosts: list[str] | None = None, token: str = "") -> Starlette:
    """The application for these runs; it answers questions and changes nothing.

    Args:
        catalogue: The runs to show.
        hosts: The names under which it may be asked for; by default those of this machine.
        token: What a request has to bring, if anything.
    """
    server = _Server(catalogue)
    # Between two programs of one machine, packing what is told again and again costs too much.
    packed = [Middleware(GZipMiddleware, minimum_size=2000, compresslevel=3)]
    is_far = not set(hosts or LOOPBACK) <= set(LOOPBACK)
    routes = [
        Route("/", server.page, middleware=packed),
        Route("/api/runs", server.runs),
        Route("/api/run", server.run, middleware=packed if is_far else []),
        Route("/api/changes", server.changes),
        Route("/{name}", server.asset, middleware=packed),
    ]
    middleware = [
        Middleware(TrustedHostMiddleware, allowed_hosts=hosts or LOOPBACK),
        Middleware(Headers),
        Middleware(Token, token=token),
    ]
    return Starlette(routes=routes, middleware=middleware)


class _Server:
    """The answers, one method each."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def page(self, _: Request) -> Response:
        return Response(_page_files.document(), media_type="text/html")

    async def asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in ASSETS:
            return PlainTextResponse("There is no such file.", 404)
        kind, content = ASSETS[name]
        return Response(content(), media_type=kind)

    async def runs(self, _: Request) -> Response:
        runs = await run_in_threadpool(self._catalogue.runs)
        places = [str(place) for place in self._catalogue.places]
        listed = [describe(key, run) for key, run in runs.items()]
        return _json(orjson.dumps({"places": places, "runs": listed}))

    async def run(self, request: Request) -> Response:
        query = request.query_params
        try:
            choice, known = _choice(dict(query)), _known(dict(query))
        except ValueError:
            return PlainTextResponse("A number is needed.", 400)
        answer = await run_in_threadpool(self._answer, query.get("run", ""), choice, known)
        return _json(answer) if answer else PlainTextResponse("There is no such run.", 404)

    def _answer(self, key: str, choice: Choice, known: Known) -> bytes | None:
        shelf = self._catalogue.shelf(key)
        return shelf.answer(choice, known) if shelf else None

    async def changes(self, request: Request) -> Response:
        keys = request.query_params.getlist("run")
        shelves = [await run_in_threadpool(self._catalogue.shelf, key) for key in keys]
        if not shelves or None in shelves:
            return PlainTextResponse("There is no such run.", 404)
        ends = getattr(request.app.state, "is_ending", bool)
        stream = _changes([shelf for shelf in shelves if shelf], ends)
        return StreamingResponse(stream, media_type="text/event-stream")


async def _changes(shelves: list[Shelf], is_ending: Callable[[], bool]) -> AsyncIterator[str]:
    """An event for each change; many tabs of one run share what one of them reads."""
    seen = [-1] * len(shelves)
    changed = said = monotonic()
    while not is_ending():
        for shelf in shelves:
            if shelf.has_news:
                await run_in_threadpool(shelf.poll)
        now = [shelf.version for shelf in shelves]
        if now != seen:
            seen, changed, said = now, monotonic(), monotonic()
            yield f"data: {json.dumps(now)}\n\n"
        elif monotonic() - said >= PULSE:
            said = monotonic()
            yield ": still here\n\n"
        pause = max(_pause(shelves, monotonic() - changed), min(shelf.rest for shelf in shelves))
        await asyncio.sleep(pause)


def _pause(shelves: list[Shelf], silence: float) -> float:
    """Seconds until it is worth to look again, after so many without news."""
    if not any(map(_is_busy, shelves)):
        return REST
    return min(max(TICK, silence / CALM), LONGEST)


def _is_busy(shelf: Shelf) -> bool:
    return shelf.reader.progress < 1 or shelf.reader.state in ("live", "waiting")


def _choice(query: dict[str, str]) -> Choice:
    """What the query asks for; nobody gets more points than a screen has."""
    return Choice(
        first=_number(query.get("first")),
        last=_number(query.get("last")),
        smoothing=min(max(int(query.get("smooth") or 0), 0), 1_000_000),
        points=min(max(int(query.get("points") or 600), 60), 4000),
    )


def _known(query: dict[str, str]) -> Known:
    return Known(query.get("drawing", ""), int(query.get("buckets") or 0))


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
