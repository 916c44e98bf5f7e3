"""The page of a run, from a process beside the one that trains."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 5.0
"""Seconds that the page gets to end."""


class Page:
    """A page that a process beside this one serves."""

    def __init__(self, server: subprocess.Popen[bytes]) -> None:
        self._server = server

    @property
    def is_there(self) -> bool:
        """Whether it is served still."""
        return self._server.poll() is None

    def stay(self) -> None:
        """Wait until Ctrl-C, or until it is no longer served."""
        with suppress(KeyboardInterrupt):
            self._server.wait()


@contextmanager
def serve_in_subprocess(run: Path, *, open_page: bool) -> Iterator[Page]:
    """Serve the page of this run on this machine while the `with` lasts; prints where it is."""
    server = subprocess.Popen(
        [sys.executable, "-m", "loss_dashboard.web.serving", str(run)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the training, which then ends the page
    )
    assert server.stdin is not None
    assert server.stdout is not None
    with server:
        try:
            # If the line is empty, the page failed and said why; the training goes on without it.
            line = server.stdout.readline().decode()
            print(line, end="", flush=True)
            address = re.search(r" at (http://\S+)  \(", line)
            if open_page and address:
                import webbrowser

                webbrowser.open(address[1])
            yield Page(server)
        finally:
            server.stdin.close()
            try:
                server.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                server.kill()
