"""A server of runs, from the first socket to the last request."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import uvicorn

from loss_dashboard._hints import short
from loss_loggers.text import printable

from . import PORT
from ._server import LOOPBACK, make_app
from .run_registry import RunRegistry

ANY = ("0.0.0.0", "::")
"""Who listens there can be reached at every address of the machine."""

NAMED = 3
TRIES = 50
GOODBYE = 2  # seconds that open streams get when the server ends


def listen(host: str, port: int | None, default: int = PORT) -> socket.socket:
    """A socket at this port; without one at the default, or at the next one that is free.

    Raises:
        OSError: If there is none.
    """
    if port is not None:
        return _bound(host, port)
    ports = (_if_free(host, candidate) for candidate in range(default, default + TRIES))
    return next(filter(None, ports), None) or _bound(host, 0)


def run_server(
    listener: socket.socket, registry: RunRegistry, host: str, token: str, *, open_page: bool
) -> None:
    """Serve until Ctrl-C."""
    name, port = listener.getsockname()[:2]
    app = make_app(registry, hosts=_hosts(host, name), token=token)
    query = f"?token={quote(token)}" if token else ""
    address = f"http://{_in_address(name)}:{port}/{query}"
    places = ", ".join(map(short, registry.places))
    print(f"Watching {places} at {address}  (Ctrl-C ends it)", flush=True)
    if left_out := registry.left_out():
        print(_about(left_out), flush=True)
    config = uvicorn.Config(
        app,
        ws="none",  # where there is a package for them, it would be loaded
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GOODBYE,
    )
    if open_page:
        import webbrowser

        here = f"http://localhost:{port}/{query}" if name in ANY else address
        webbrowser.open(here)  # the socket listens already, so the browser will be answered
    server = uvicorn.Server(config)
    app.state.is_ending = lambda: server.should_exit
    asyncio.run(server.serve(sockets=[listener]))


def _serve_beside(run: Path) -> None:
    """Serve until whoever started this closes its standard input, or is gone itself."""

    def end_with_parent() -> None:
        os.read(0, 1)
        signal.raise_signal(signal.SIGTERM)

    Thread(target=end_with_parent, daemon=True).start()
    host = "127.0.0.1"
    run_server(listen(host, None), RunRegistry([run]), host, "", open_page=False)


def _if_free(host: str, port: int) -> socket.socket | None:
    try:
        return _bound(host, port)
    except OSError:
        return None


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Only of a socket that names its protocol does asyncio send each part of an answer at once;
    # or else the second part waits for a receipt of the first, 40 ms on many systems.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def _hosts(host: str, name: str) -> list[str]:
    """The names under which the server may be asked for."""
    if _in_address(host) in LOOPBACK:
        return LOOPBACK
    return ["*"] if name in ANY else [host, _in_address(host), _in_address(name)]


def _in_address(name: str) -> str:
    """The name as an address has it; that of this machine if it listens to all of its own."""
    if name in ANY:
        return socket.gethostname()
    return f"[{name}]" if ":" in name else name


def _about(left_out: list[Path]) -> str:
    """That runs are not shown, and why.

    >>> from pathlib import Path
    >>> _about([Path("runs/gan")])
    'Left out: 1 run that leads elsewhere by a link (gan)'
    """
    names = sorted(printable(run.name) for run in left_out)
    shown = ", ".join(names[:NAMED]) + ", …" * (len(names) > NAMED)
    if len(names) == 1:
        return f"Left out: 1 run that leads elsewhere by a link ({shown})"
    return f"Left out: {len(names)} runs that lead elsewhere by links ({shown})"


if __name__ == "__main__":
    _serve_beside(Path(sys.argv[1]))
