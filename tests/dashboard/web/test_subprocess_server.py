"""The demo with its page beside it, in real processes, over HTTP."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.request import ProxyHandler, build_opener

import pytest
from tests import forked
from tests.loggers.delivery.http_backend import until

from loss_dashboard.web.subprocess_server import Page, serve_in_subprocess
from loss_loggers import read_run

if TYPE_CHECKING:
    from pathlib import Path

for _name in ("starlette", "uvicorn"):
    pytest.importorskip(_name, reason="the page is served with it")
pytest.importorskip("sklearn", reason="the demo trains on its digits")
pytest.importorskip("matplotlib", reason="the demo draws")

DEADLINE = 300
STAYS = "The page stays until Ctrl-C.\n"


class Demo:
    """It trains in a process of its own, with its page unless it is alone."""

    def __init__(self, folder: Path, steps: int, *options: str) -> None:
        self._said = folder.with_name(f"{folder.name}.txt")
        options = (*options, "--steps", str(steps), "--out", str(folder))
        self.process = forked.start("loss_dashboard", "demo", *options, said=self._said)

    @property
    def said(self) -> str:
        return self._said.read_text(encoding="utf-8") if self._said.exists() else ""

    def until(self, words: str) -> str:
        """What it prints, up to these words."""
        until(lambda: re.search(words, self.said) or self.process.poll() is not None)
        found = re.search(words, self.said)
        assert found, f"it ended without: {words}\n{self.said}"
        return self.said[: found.end()]

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        return forked.end(self.process, DEADLINE)


def start(folder: Path, steps: int) -> tuple[Demo, str]:
    """The demo, and the address that its first line tells."""
    demo = Demo(folder, steps, "--serve")
    address = re.search(r"http://127\.0\.0\.1:\d+/", demo.until(r"http\S+/"))
    assert address
    return demo, address[0]


def fetch(address: str) -> str:
    with build_opener(ProxyHandler({})).open(address, timeout=300) as answer:
        text: str = answer.read().decode()
        return text


def first_rows(address: str) -> dict[str, Any]:
    """What the server knows of the run as soon as it trains."""
    (run,) = json.loads(fetch(f"{address}api/runs"))["runs"]
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        shown: dict[str, Any] = json.loads(fetch(f"{address}api/views?run={run['key']}"))[0]
        if shown["losses"]:
            return shown
        time.sleep(0.05)
    pytest.fail("no row arrived")


def is_gone(address: str) -> bool:
    try:
        fetch(address)
    except (OSError, HTTPException):  # Refused, or ended in the middle of an answer.
        return True
    return False


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_the_page_is_there_while_it_trains_and_stays_until_ctrl_c(tmp_path: Path) -> None:
    demo, address = start(tmp_path / "run", steps=300)
    record = tmp_path / "run" / "losses.csv"
    until(lambda: record.exists() and len(record.read_bytes().splitlines()) > 1)
    demo.send(signal.SIGSTOP)  # so that it does not end while it is looked at
    page = fetch(address)
    shown = first_rows(address)
    trains = STAYS not in demo.said
    demo.send(signal.SIGCONT)
    printed = demo.until(STAYS)
    after = first_rows(address)
    demo.send(signal.SIGINT)
    code = demo.end()

    assert trains
    assert "<title>" in page
    assert shown["state"] == "running"
    assert {"G", "D", "E"} <= {loss["name"] for loss in shown["losses"]}
    assert (after["state"], after["step"]) == ("finished", 299)
    assert re.search(f" serve {re.escape(str(tmp_path / 'run'))} --open", printed)
    assert (code, demo.said) == (0, printed)
    assert is_gone(address)


def test_a_page_that_is_no_more_is_not_waited_for() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()

    page = Page(ended)
    page.stay()

    assert not page.is_there


def test_the_page_changes_no_number(tmp_path: Path) -> None:
    demo, _ = start(tmp_path / "watched", steps=30)
    demo.until(STAYS)
    demo.process.terminate()
    demo.end()
    assert Demo(tmp_path / "alone", 30).end() == 0

    watched, alone_run = read_run(tmp_path / "watched"), read_run(tmp_path / "alone")
    for name in ("G", "D", "E"):
        assert watched[name]["loss"].tolist() == alone_run[name]["loss"].tolist()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_ends_both(tmp_path: Path) -> None:
    demo, address = start(tmp_path / "run", steps=1_000_000)
    first_rows(address)
    demo.send(signal.SIGINT)

    assert demo.end() == 130
    assert "Stopped by Ctrl-C" in demo.said
    assert "Traceback" not in demo.said
    assert read_run(tmp_path / "run").info["state"] == "finished"
    assert is_gone(address)


def test_a_killed_demo_leaves_no_server(tmp_path: Path) -> None:
    demo, address = start(tmp_path / "run", steps=1_000_000)
    first_rows(address)
    demo.process.kill()

    until(lambda: is_gone(address))
    demo.end()


def test_open_opens_the_browser_at_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)

    with serve_in_subprocess(tmp_path, open_page=True):
        assert "<title>" in fetch(opened[0])

    assert opened[0] in capfd.readouterr().out


@pytest.mark.parametrize("option", ["--serve", "--open"])
def test_a_missing_extra_is_one_line_before_training(tmp_path: Path, option: str) -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None; from loss_dashboard.cli.losses import app;"
        f" app(['demo', {option!r}, '--out', {str(tmp_path / 'run')!r}])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == (
        "demo --serve needs uvicorn: pip install 'multi-loss-weighting[dashboard]'\n"
    )
    assert not done.stdout
    assert not (tmp_path / "run").exists()
