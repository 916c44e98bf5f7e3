from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .browser import Tab


@contextmanager
def served(*arguments: str) -> Iterator[str]:
    """The address of `losses serve`, in a process of its own at a free port."""
    command = [sys.executable, "-m", "loss_dashboard", "serve", *arguments, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        try:
            yield next(word for word in line.split() if word.startswith("http"))
        finally:
            server.terminate()


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, without a window."""
    from .browser import CHROMIUM, FLAGS, browsers

    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with browsers().sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Callable[..., Tab]]:
    """Opens tabs, in which nothing may go wrong."""
    from .browser import Tab

    tabs: list[Tab] = []

    def make(**options: Any) -> Tab:
        tabs.append(Tab(browser, **options))
        return tabs[-1]

    yield make
    for one in tabs:
        one.context.close()
        assert one.wrong == []


@pytest.fixture
def show(serve: Callable[..., Any], tab: Callable[..., Tab]) -> Iterator[Callable[..., object]]:
    """Opens the page of what is in a folder, which is served until the test is over."""
    with ExitStack() as servers:

        def open_page(place: Path, query: str = "", **options: Any) -> object:
            address = servers.enter_context(serve(str(place)))
            return tab(**options).open(f"{address}{query}")

        yield open_page
