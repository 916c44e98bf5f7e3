"""Who may come in, and what a browser may do with what it gets."""

from __future__ import annotations

from secrets import compare_digest
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, unquote

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LONGEST_QUERY = 32_000
"""Bytes. A hundred runs with long names are shorter."""

MOST_RUNS = 100

COOKIE = "losses_token"
"""With the port: a browser has one set of cookies for all servers of a machine."""

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Headers:
    """Tells the browser to load nothing from elsewhere, and to run nothing but our files."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add our headers to what comes back."""

        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, send_more)


class Limits:
    """Refuses at once what another site has a browser ask for, and what asks for too much."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        refusal = _refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)


def _refusal(scope: Scope) -> PlainTextResponse | None:
    # A link to the page may be anywhere; its answers are for the page alone.
    if _is_of_another_site(dict(scope["headers"])) and scope["path"] != "/":
        return PlainTextResponse("Another site asks for this.", 403)
    query: bytes = scope["query_string"]
    if len(query) > LONGEST_QUERY:
        return PlainTextResponse("The address is too long.", 414)
    if len(parse_qs(query.decode("latin-1")).get("run", [])) > MOST_RUNS:
        return PlainTextResponse(f"At most {MOST_RUNS} runs can be asked for at once.", 400)
    return None


def _is_of_another_site(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a browser says so; an old one has no more than the origin to say."""
    site, host = headers.get(b"sec-fetch-site", b"none"), headers.get(b"host", b"")
    origin = headers.get(b"origin")
    is_ours = origin is None or origin.partition(b"://")[2] == host
    return site not in (b"none", b"same-origin") or not is_ours


class Token:
    """Asks for a token in the address, which a cookie then keeps; without one lets all pass."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if not self._token or scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._matches(_in_address(scope)):
            await self._app(scope, receive, self._with_cookie(send, _cookie(scope)))
        elif self._matches(_in_cookie(scope)):
            await self._app(scope, receive, send)
        else:
            refusal = PlainTextResponse("The address needs the token that `losses` printed.", 401)
            await refusal(scope, receive, send)

    def _matches(self, token: str) -> bool:
        return compare_digest(token.encode(), self._token.encode())

    def _with_cookie(self, send: Send, name: str) -> Send:
        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                cookie = f"{name}={quote(self._token)}; HttpOnly; SameSite=Strict; Path=/"
                MutableHeaders(scope=message).append("Set-Cookie", cookie)
            await send(message)

        return send_more


def _in_address(scope: Scope) -> str:
    query: bytes = scope["query_string"]
    return parse_qs(query.decode("latin-1")).get("token", [""])[0]


def _cookie(scope: Scope) -> str:
    """The name of the cookie, with the port at which the browser sees this server."""
    host: bytes = dict(scope["headers"]).get(b"host", b"")
    port = host.decode("latin-1").rpartition(":")[2]
    return f"{COOKIE}_{port}" if port.isdecimal() else COOKIE


def _in_cookie(scope: Scope) -> str:
    """The value of ours; those of other servers of the machine may be as odd as they like."""
    cookies = dict(scope["headers"]).get(b"cookie", b"").decode("latin-1").split(";")
    pairs = (cookie.strip().partition("=") for cookie in cookies)
    return next((unquote(value) for name, _, value in pairs if name == _cookie(scope)), "")
