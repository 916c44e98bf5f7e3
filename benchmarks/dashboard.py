"""How quick the page is, and what serving it costs, beside TensorBoard and Trackio.

    pip install 'multi-loss-weighting[dashboard,plot,tensorboard]' playwright psutil
    python benchmarks/dashboard.py [--lines 10000 100000 1000000] [--seconds 20]

Each server is a process of its own; Chromium opens our page. Without TensorBoard it is left out,
and so is Trackio without `--trackio trackio/bin/python`, the Python of an environment that has it
(`dashboard_peers.py` says how to make one).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import urlopen

import psutil  # type: ignore[import-untyped]
from playwright.sync_api import sync_playwright

from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.dashboard_peers import (
        Peer,
        TensorBoard,
        Trackio,
        measure_latency,
        measure_start,
    )
    from benchmarks.dashboard_rows import NAMES, rows
else:
    from dashboard_peers import TensorBoard, Trackio, measure_latency, measure_start
    from dashboard_rows import NAMES, rows

PEER_LINES = 10**6  # writing more for others takes a quarter of an hour
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
READ = """
import resource, sys, time
start = time.perf_counter()
from loss_dashboard.reading import RunReader
RunReader(sys.argv[1], columns=())
used = resource.getrusage(resource.RUSAGE_SELF)
print(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""
EMPTY = "from matplotlib.figure import Figure; Figure().savefig('empty.png')"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, nargs="+", default=[10**4, 10**5, 10**6])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--trackio", default="", help="a Python that has Trackio")
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed has its bytecode
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        print("seconds (of processor time in brackets)")
        print(
            "lines     reader                   plot          empty picture  first page  all of it"
        )
        for lines in options.lines:
            measure_size(Path(scratch), lines, browser)
        measure_live(Path(scratch) / "live", browser, options.seconds)
        browser.close()
        measure_peers(Path(scratch), options.lines, options.trackio)


def measure_size(scratch: Path, lines: int, browser: Any) -> None:
    """A finished run of so many lines."""
    folder = scratch / f"run-{lines}"
    with CsvLogger(folder) as logger:
        for step, row in enumerate(rows(lines // len(NAMES))):
            logger.log_metrics(row, step=step)
    read = [sys.executable, "-c", READ, str(folder)]
    seconds, used, megabytes = map(float, subprocess.check_output(read, text=True).split())
    plot, plot_used = cost_of(
        "-m", "loss_dashboard", "plot", str(folder), "-o", "run.png", at=scratch
    )
    floor, floor_used = cost_of("-c", EMPTY, at=scratch)
    first, whole = first_page(folder, browser)
    print(f"{lines:<9} {seconds:6.2f} ({used:5.2f}) {megabytes:6.0f} MB", end="   ")
    print(f"{plot:5.2f} ({plot_used:.2f})  {floor:5.2f} ({floor_used:.2f})", end="  ")
    print(f"{first:6.2f}  {whole:6.2f}", flush=True)


def cost_of(*arguments: str, at: Path) -> tuple[float, float]:
    """Seconds that a Python takes, and those of all cores."""
    start, before = time.perf_counter(), os.times()
    subprocess.check_output([sys.executable, *arguments], cwd=at)
    seconds, after = time.perf_counter() - start, os.times()
    used = after.children_user + after.children_system
    return seconds, used - before.children_user - before.children_system


def measure_peers(scratch: Path, sizes: list[int], trackio: str) -> None:
    """The same rows in TensorBoard and in Trackio, where they are."""
    makers: dict[str, Callable[[Path], Peer]] = {}
    if find_spec("tensorboard"):
        makers["TensorBoard"] = TensorBoard
    if trackio:
        makers["Trackio"] = partial(Trackio, python=trackio)
    for name, make in makers.items():
        for lines in (size for size in sizes if size <= PEER_LINES):
            cost = measure_start(make(scratch / f"{name}-{lines}"), lines // len(NAMES))
            print(f"{name:<12} {lines:<9} {cost}", flush=True)
        latency = measure_latency(make(scratch / f"{name}-live"))
        print(f"{name:<12} write to answer: {latency}", flush=True)


class Served:
    """`losses serve` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "loss_dashboard", "serve", str(folder), "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.address = next(word for word in line.split() if word.startswith("http"))

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()


def first_page(folder: Path, browser: Any) -> tuple[float, float]:
    """Seconds from the start of the command to a chart, and to all of the run in it."""
    page = browser.new_page()
    start = time.perf_counter()
    server = Served(folder)
    try:
        page.goto(server.address, wait_until="commit")
        page.wait_for_selector("canvas")
        first = time.perf_counter() - start
        question = urlencode({"run": folder.name})
        address = f"{server.address}api/views?{question}"
        wait_for(lambda: ask(address)[0]["progress"] == 1, 0.05)
        return first, time.perf_counter() - start
    finally:
        page.close()
        server.close()


def ask(address: str) -> Any:
    with urlopen(address) as answer:
        return json.load(answer)


def wait_for(holds: Callable[[], bool], pause: float = 0.01, seconds: float = 120.0) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        if holds():
            return
        time.sleep(pause)
    msg = f"it should have held within {seconds:.0f} seconds"
    raise TimeoutError(msg)


def measure_live(folder: Path, browser: Any, seconds: float) -> None:
    """A run that gets 100 rows a second while a tab shows it."""
    with CsvLogger(folder) as logger:
        source = rows()
        logger.log_metrics(next(source), step=0)
        server = Served(folder)
        page = browser.new_page()
        sizes: list[int] = []
        page.on("response", lambda response: sizes.append(size_of(response)))
        page.goto(server.address)
        page.wait_for_selector("canvas")
        page.wait_for_timeout(1500)
        print(f"\npage with its first data: {sum(sizes) / 1000:.0f} kB in {len(sizes)} answers")
        report_latency(logger, page, source)
        report_cost(logger, page, source, server, seconds)
        page.close()
        server.close()


def size_of(response: Any) -> int:
    return int(response.headers.get("content-length") or 0)


WAIT = """step => {
    window.drawn = 0;
    const drawn = () => requestAnimationFrame(() => { window.drawn = Date.now(); });
    const look = () => document.body.innerText.replace(/[^0-9a-z]/g, "").includes(step)
        ? drawn() : requestAnimationFrame(look);
    look();
}"""


def report_latency(logger: CsvLogger, page: Any, source: Iterator[dict[str, float]]) -> None:
    """From the write of a row to the frame after the one that says its step."""
    delays = []
    for number in range(1, 41):
        step = 700_000 + number
        page.evaluate(WAIT, str(step))
        written = time.time()
        logger.log_metrics(next(source), step=step)
        wait_for(lambda: page.evaluate("() => window.drawn") > 0, 0.005, 10.0)
        delays.append(page.evaluate("() => window.drawn") - 1000 * written)
        page.wait_for_timeout(300 + number % 7 * 20)
    cuts = quantiles(delays, n=20)
    print(f"write to pixel: p50 {cuts[9]:.0f} ms, p95 {cuts[18]:.0f} ms")


def report_cost(
    logger: CsvLogger, page: Any, source: Iterator[dict[str, float]], server: Served, seconds: float
) -> None:
    process = psutil.Process(server.process.pid)
    before, start = process.cpu_times(), time.perf_counter()
    for step in range(int(100 * seconds)):
        logger.log_metrics(next(source), step=800_000 + step)
        page.wait_for_timeout(max(0.0, 1000 * (start + step / 100 - time.perf_counter())))
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    share, memory = used / (time.perf_counter() - start), process.memory_info().rss / 1e6
    print(f"server at 100 rows/s: {share:.1%} of a core, {memory:.0f} MB")


if __name__ == "__main__":
    main()
