from __future__ import annotations

import tempfile
import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.forked import end, start
from tests.loggers.delivery.http_backend import until

from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .browser import Tab


@contextmanager
def served(*arguments: str) -> Iterator[str]:
    """The address of `losses serve`, in a process of its own at a free port."""
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "said"
        server = start("loss_dashboard", "serve", *arguments, "--port", "0", said=said)
        try:
            until(lambda: said.exists() and "\n" in said.read_text(encoding="utf-8"))
            line = said.read_text(encoding="utf-8")
            yield next(word for word in line.split() if word.startswith("http"))
        finally:
            server.kill()  # it would wait a second for the pages that follow it
            end(server, 300)


@pytest.fixture
def serve() -> Callable[..., object]:
    """A server, for as long as a `with` lasts."""
    pytest.importorskip("starlette", reason="the page is served with it")
    pytest.importorskip("uvicorn", reason="the page is served with it")
    return served


@pytest.fixture
def record() -> Callable[..., Path]:
    """Record a run whose losses fall."""

    def write(folder: Path, names: tuple[str, ...] = ("G", "D", "E"), steps: int = 50) -> Path:
        with CsvLogger(folder) as logger:
            logger.log_hyperparams({"weighting": {"method": "CoVWeighting", "spike": 100.0}})
            for step in range(steps):
                write_row(logger, names, step)
        return logger.path

    return write


def write_row(logger: CsvLogger, names: tuple[str, ...], step: int) -> None:
    row: dict[str, float] = {}
    for place, name in enumerate(names, 1):
        loss = place / (1 + step)
        row |= {f"loss/{name}": loss, f"weight/{name}": 1 / len(names), f"mean/{name}": loss}
        row |= {f"std/{name}": 0.1, f"cov/{name}": 0.2 * place}
    logger.log_metrics(row, step=step)


@pytest.fixture(scope="session")
def kept_tabs() -> list[Tab]:
    """Those that no test uses now."""
    return []


class Empty(BaseHTTPRequestHandler):
    """A page with nothing in it."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="session")
def nowhere() -> Iterator[str]:
    """The address of an empty page, on the host of all others."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Empty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def tab(browser: Any, kept_tabs: list[Tab], nowhere: str) -> Iterator[Callable[..., Tab]]:
    """Opens tabs, in which nothing may go wrong."""
    from .browser import Tab

    tabs: list[Tab] = []

    def make(width: int = 1440, **options: Any) -> Tab:
        if kept_tabs and not options:
            tabs.append(kept_tabs.pop())
            tabs[-1].begin(width)
        else:
            tabs.append(Tab(browser, width, **options))
        return tabs[-1]

    yield make
    for one in tabs:
        is_kept = one.leave(nowhere)
        assert one.wrong == []
        if is_kept:
            kept_tabs.append(one)


@pytest.fixture
def show(serve: Callable[..., Any], tab: Callable[..., Tab]) -> Iterator[Callable[..., object]]:
    """Opens the page of what is in a folder, which is served until the test is over."""
    with ExitStack() as servers:

        def open_page(place: Path, query: str = "", **options: Any) -> object:
            address = servers.enter_context(serve(str(place)))
            return tab(**options).open(f"{address}{query}")

        yield open_page
