"""Messages to an address on the web, sent by a thread of their own."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from queue import Queue
from threading import Event, Thread
from time import monotonic
from typing import Any
from weakref import WeakSet

from loss_loggers.base._warn import warn

MOST = 1000
"""Messages that may wait."""

DELAYS = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each try."""

TIMEOUT = 10.0
"""Seconds that one try may take, and that the end waits."""


class Webhook:
    """An address that gets each message as JSON, in order; training never waits for it.

    A message that it refuses five times is counted in `failed`, with one warning. The address is a
    secret as a rule, so that no text of ours has more of it than its host.
    """

    def __init__(self, url: str) -> None:
        self.host = _host_of(url)
        self.failed = 0
        self._url = url
        self._warned = False
        self._begin()

    def put(self, message: dict[str, Any]) -> None:
        """Send it soon."""
        if os.getpid() != self._pid:
            self._begin()  # a forked process has neither the thread nor a lock to rely on
        if self._is_ending.is_set():
            self._lose(1, "it is closed")
        elif self._waiting.qsize() >= MOST:
            self._lose(1, f"{MOST} wait for it")
        else:
            self._taken += 1
            self._waiting.put(message)
            self._start()

    def end(self) -> None:
        """Send what waits, without waiting for it, and nothing more."""
        self._is_ending.set()
        if os.getpid() == self._pid and self._thread.is_alive():
            self._waiting.put(None)

    def close(self, timeout: float = TIMEOUT) -> None:
        """Send what waits; what is left after the timeout is counted."""
        self.end()
        if os.getpid() == self._pid and self._thread.is_alive():
            self._thread.join(timeout)
            if self._thread.is_alive():
                self._is_over = True
                self._lose(self._taken - self._done, f"it did not answer within {timeout:g} s")

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._waiting: Queue[dict[str, Any] | None] = Queue()
        self._taken = self._done = 0
        self._is_ending = Event()
        self._is_over = False
        # A daemon, so that an address which never answers does not keep the process alive.
        self._thread: Thread = Thread(
            target=self._run, name="loss_loggers.AlertLogger", daemon=True
        )

    def _start(self) -> None:
        if self._thread.ident is not None:
            return
        _close_at_exit(self)
        try:
            self._thread.start()
        except RuntimeError as error:  # at the end of the interpreter none can be started
            self._lose(1, str(error))

    def _run(self) -> None:
        while (message := self._waiting.get()) is not None and not self._is_over:
            problem = self._send(message)
            self._done += 1
            if problem and not self._is_over:
                self._lose(1, problem)

    def _send(self, message: dict[str, Any]) -> str:
        """What kept it from being sent, at last; nothing if it was."""
        problem = ""
        for delay in DELAYS:
            self._is_ending.wait(delay)
            try:
                _post(self._url, message)
            except OSError as error:
                problem = f"{type(error).__name__}: {error}"
            except Exception as error:  # its text may have the address in it
                problem = type(error).__name__
            else:
                return ""
        return problem

    def _lose(self, count: int, reason: str) -> None:
        self.failed += count
        if not self._warned:
            self._warned = True
            warn(f"{self.host} did not take an alert ({reason}). Later ones are counted.")


def _host_of(url: str) -> str:
    from urllib.parse import urlsplit

    with suppress(ValueError):  # of a port, or of brackets
        parts = urlsplit(url)
        is_one = url.isprintable() and " " not in url and parts.port != 0
        if is_one and parts.scheme in ("http", "https") and parts.hostname:
            return parts.hostname
    wanted = "on_alert must be a function, or a URL without spaces such as https://host/path"
    msg = f"{wanted}; got one that begins with {url[:8]!r}"
    raise ValueError(msg)


def _post(url: str, message: dict[str, Any]) -> None:
    import json
    from urllib.request import Request, urlopen

    headers = {"Content-Type": "application/json", "User-Agent": "multi-loss-weighting"}
    request = Request(url, json.dumps(message).encode(), headers)
    with urlopen(request, timeout=TIMEOUT) as answer:
        answer.read()


_open: WeakSet[Webhook] = WeakSet()


def _close_at_exit(webhook: Webhook) -> None:
    if not _open:
        atexit.register(_close_all)
    _open.add(webhook)
    # The children of multiprocessing end without the functions of atexit.
    if util := sys.modules.get("multiprocessing.util"):
        util.Finalize(None, _close_all, exitpriority=0)


def _close_all() -> None:
    deadline = monotonic() + TIMEOUT
    for webhook in list(_open):
        webhook.close(max(0.0, deadline - monotonic()))
