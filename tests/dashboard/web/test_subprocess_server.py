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

from loss_dashboard.web.subprocess_server import Page, serve_in_subprocess
from loss_loggers import read_run

if TYPE_CHECKING:
    from pathlib import Path

for _name in ("starlette", "uvicorn"):
    pytest.importorskip(_name, reason="the page is served with it")
pytest.importorskip("sklearn", reason="the demo trains on its digits")
pytest.importorskip("matplotlib", reason="the demo draws")

DEMO = (sys.executable, "-m", "loss_dashboard", "demo", "--serve")
DEADLINE = 60


def start(folder: Path, steps: int) -> tuple[subprocess.Popen[str], str]:
    """The demo, and the address that its first line tells."""
    command = [*DEMO, "--steps", str(steps), "--out", str(folder)]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert demo.stdout is not None
    address = re.search(r"http://127\.0\.0\.1:\d+/", demo.stdout.readline())
    assert address
    return demo, address[0]


def fetch(address: str) -> str:
    with build_opener(ProxyHandler({})).open(address, timeout=10) as answer:
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


def until(demo: subprocess.Popen[str], line: str) -> str:
    """What the demo prints, up to this line."""
    printed = []
    assert demo.stdout is not None
    for printed_line in demo.stdout:
        printed.append(printed_line)
        if printed_line.strip() == line:
            return "".join(printed)
    pytest.fail(f"it ended without: {line}")


STAYS = "The page stays until Ctrl-C."


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_the_page_is_there_while_it_trains_and_stays_until_ctrl_c(tmp_path: Path) -> None:
    demo, address = start(tmp_path / "run", steps=300)
    page = fetch(address)
    shown = first_rows(address)
    trains = demo.poll() is None
    printed = until(demo, STAYS)
    after = first_rows(address)
    demo.send_signal(signal.SIGINT)
    rest, errors = demo.communicate(timeout=DEADLINE)

    assert trains
    assert "<title>" in page
    assert shown["state"] == "live"
    assert {"G", "D", "E"} <= {loss["name"] for loss in shown["losses"]}
    assert (after["state"], after["step"]) == ("finished", 299)
    assert re.search(f" serve {re.escape(str(tmp_path / 'run'))} --open", printed)
    assert (demo.returncode, rest, errors) == (0, "", "")
    assert is_gone(address)


def test_a_page_that_is_no_more_is_not_waited_for() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()

    page = Page(ended)
    page.stay()

    assert not page.is_there


def test_the_page_changes_no_number(tmp_path: Path) -> None:
    demo, _ = start(tmp_path / "watched", steps=30)
    until(demo, STAYS)
    demo.terminate()
    demo.communicate(timeout=DEADLINE)
    alone = [word for word in DEMO if word != "--serve"]
    command = [*alone, "--steps", "30", "--out", str(tmp_path / "alone")]
    subprocess.run(command, check=True, capture_output=True)

    watched, alone_run = read_run(tmp_path / "watched"), read_run(tmp_path / "alone")
    for name in ("G", "D", "E"):
        assert watched[name]["loss"].tolist() == alone_run[name]["loss"].tolist()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_ends_both(tmp_path: Path) -> None:
    demo, address = start(tmp_path / "run", steps=1_000_000)
    first_rows(address)
    demo.send_signal(signal.SIGINT)
    printed, errors = demo.communicate(timeout=DEADLINE)

    assert demo.returncode == 130
    assert "Stopped by Ctrl-C" in printed
    assert not errors
    assert read_run(tmp_path / "run").info["state"] == "finished"
    assert is_gone(address)


def test_a_killed_demo_leaves_no_server(tmp_path: Path) -> None:
    demo, address = start(tmp_path / "run", steps=1_000_000)
    first_rows(address)
    demo.kill()
    demo.wait(DEADLINE)

    end = time.monotonic() + DEADLINE
    while not is_gone(address):
        assert time.monotonic() < end
        time.sleep(0.05)
    demo.communicate()


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
