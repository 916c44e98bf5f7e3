"""A small backend in a process of its own, which can be killed, frozen and started again."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from typing_extensions import Self

    from loss_loggers import Row

SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        size = int(self.headers["Content-Length"])
        body = self.rfile.read(size)
        if len(body) < size:
            return  # who sent it was killed in the middle
        with open(sys.argv[2], "ab") as file:
            file.write(body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments): ...

HTTPServer.allow_reuse_address = True
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class Server:
    """A process at a port, which can be killed and started again."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: Any = None

    def start(self) -> Self:
        self._process = self._begun()
        until(self._answers)
        return self

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=300)
            self._process = None

    def freeze(self) -> None:
        """It takes connections and answers none."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def _begun(self) -> Any:
        raise NotImplementedError

    def _answers(self) -> bool:
        assert self._process.poll() is None, "the server ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Backend(Server):
    """Appends the rows that it is sent to a file."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._file = folder / "arrived.jsonl"

    def _begun(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", SERVER, str(self.port), str(self._file)]
        return subprocess.Popen(command)

    @property
    def rows(self) -> list[tuple[int, float, dict[str, Any]]]:
        # What is being written just now has no end yet.
        *lines, _ = self._file.read_text().split("\n") if self._file.exists() else [""]
        return [(step, moment, metrics) for step, moment, metrics in map(json.loads, lines)]

    @property
    def steps(self) -> list[int]:
        return [step for step, _, _ in self.rows]


class HttpLogger:
    """Sends rows to a `Backend`."""

    def __init__(self, port: int, timeout: float = 300.0) -> None:
        self._port = port
        self._timeout = timeout
        self.threads: set[int] = set()

    def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
        self.log_rows([(step, time.time(), metrics)])

    def log_rows(self, rows: Sequence[Row]) -> None:
        self.threads.add(threading.get_ident())
        body = "".join(json.dumps(row) + "\n" for row in rows)
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._timeout)
        try:
            connection.request("POST", "/", body)
            connection.getresponse().read()
        finally:
            connection.close()


HELD: list[socket.socket] = []


def free_port() -> int:
    """A port for a server that this machine gives to nobody else, if it runs Linux."""
    holder = socket.socket()
    if sys.platform == "linux":  # beside one that is bound and does not listen, one may listen
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        HELD.append(holder)
    holder.bind(("127.0.0.1", 0))
    port: int = holder.getsockname()[1]
    if sys.platform != "linux":
        holder.close()
    return port


def until(is_so: Callable[[], object], seconds: float = 300.0) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)
