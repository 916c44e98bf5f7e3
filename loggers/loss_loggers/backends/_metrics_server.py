"""A port at which prometheus_client answers."""

from __future__ import annotations

import os
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Any
from weakref import WeakSet

from loss_loggers.base._warn import warn

RETRY = 30.0
"""Seconds between two tries to get the port."""

PATIENCE = 10.0
"""Seconds that who asks for the address waits for the first try."""

_all: WeakSet[MetricsServer] = WeakSet()


class MetricsServer:
    """Opens the port on a thread, for a name may take its time to be looked up."""

    def __init__(self, collector: Any, host: str, port: int) -> None:
        from prometheus_client import CollectorRegistry

        self.host, self.port = host, port
        self.is_refused = False
        self._registry = CollectorRegistry()
        self._registry.register(collector)
        self._server: Any = None
        self._lock = Lock()
        self._was_tried, self._is_over = Event(), Event()
        self._thread = Thread(target=self._get_port, name="loss_loggers.MetricsEndpoint")
        self._thread.daemon = True

    @property
    def url(self) -> str:
        """The address; empty while the port cannot be had."""
        self.open()
        self._was_tried.wait(PATIENCE)
        if self._server is None:
            return ""
        host, port = self._server.server_address[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics"

    def open(self) -> None:
        """Begin, unless it has."""
        if self._thread.ident is None:
            _all.add(self)
            with suppress(RuntimeError):  # at the end of the interpreter, when nobody will ask
                self._thread.start()

    def close(self) -> None:
        """Let go of the port."""
        self._is_over.set()
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def leave_to_parent(self) -> None:
        """Close the copy that a forked child has, which would keep the port taken."""
        if self._server is not None:
            self._server.socket.close()

    def _get_port(self) -> None:
        while not self._try():
            self._was_tried.set()
            if self._is_over.wait(RETRY):
                return
        self._was_tried.set()

    def _try(self) -> bool:
        from prometheus_client import start_http_server

        try:
            server = start_http_server(self.port, self.host, self._registry)[0]
        except OSError as error:
            if not self.is_refused:
                self.is_refused = True
                warn(
                    f"port {self.port} of {self.host} cannot be had ({error}). Training goes on; "
                    f"it is tried again every {RETRY:g} s, and rows until then are counted."
                )
            return False
        with self._lock:
            self._server = server
        self.is_refused = False
        if self._is_over.is_set():
            self.close()
        return True


def _leave_all_to_parent() -> None:
    for server in list(_all):
        server.leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all_to_parent)
