"""TensorBoard and Trackio on the rows that the page of `dashboard.py` gets.

Both are asked over HTTP for the points of one loss, without a browser, which spares them the
drawing: from the start of the server until the newest step is told, and from the write of a row
until it is. Trackio lives in an environment of its own:

    python -m venv trackio && trackio/bin/pip install trackio
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import psutil  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.dashboard_rows import NAMES, rows
else:
    from dashboard_rows import NAMES, rows

HERE = Path(__file__).parent
PORT = 6100 + int(time.time()) % 800
TAG = f"loss/{NAMES[-1]}"
LIVE_ROWS = 20
PATIENCE = 600.0


class TensorBoard:
    """It reads anew as often as it can be told to; a point in a hundred is enough of a sample."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = dict(os.environ)
        self.command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder)]
        self.command += ["--port", str(PORT), "--reload_interval", "1"]
        self.command += ["--samples_per_plugin", "scalars=1000"]

    @contextmanager
    def record(self, steps: int) -> Iterator[Callable[[int], None]]:
        """Write so many steps; what it gives writes one more."""
        from torch.utils.tensorboard import SummaryWriter

        from loss_loggers import TensorBoardLogger

        with SummaryWriter(str(self.folder)) as writer:
            logger, source = TensorBoardLogger(writer), rows()
            for step in range(steps):
                logger.log_metrics(next(source), step=step)
            writer.flush()

            def one_more(step: int) -> None:
                logger.log_metrics(next(source), step=step)
                writer.flush()

            yield one_more

    def points(self) -> bytes:
        """What it tells of a loss, to the pages that show it."""
        question = urlencode({"tag": TAG, "run": "."})
        address = f"http://127.0.0.1:{PORT}/data/plugin/scalars/scalars?{question}"
        return bytes(urlopen(address).read())

    def newest(self, points: bytes) -> int:
        """The last step in it."""
        return int(json.loads(points)[-1][1])


class Trackio:
    """It writes twice a second, in an environment that need not be ours."""

    def __init__(self, folder: Path, python: str) -> None:
        self._python = python
        self.environment = {**os.environ, "TRACKIO_DIR": str(folder)}
        self.environment |= {"GRADIO_SERVER_PORT": str(PORT), "BROWSER": "true"}
        self.command = [python, "-m", "trackio.cli", "show", "--project", "run"]

    @contextmanager
    def record(self, steps: int) -> Iterator[Callable[[int], None]]:
        """Write so many steps; what it gives writes one more."""
        command = [self._python, str(HERE / "dashboard_trackio.py"), str(steps)]
        with subprocess.Popen(
            command, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        ) as writer:
            line = writer.stdin
            assert line is not None

            def one_more(step: int) -> None:
                line.write(f"{step}\n".encode())
                line.flush()

            yield one_more

    def points(self) -> bytes:
        """What its page asks for when it opens: all numbers of up to 3,000 steps."""
        content = json.dumps({"project": "run", "runs": [{"run": "run"}]}).encode()
        address = f"http://127.0.0.1:{PORT}/api/get_logs_batch"
        request = Request(address, content, {"Content-Type": "application/json"})
        return bytes(urlopen(request).read())

    def newest(self, points: bytes) -> int:
        """The last step in it."""
        return int(json.loads(points)["data"][0]["logs"][-1]["step"])


Peer = TensorBoard | Trackio


def measure_start(peer: Peer, steps: int) -> str:
    """A line: seconds to the newest step, kilobytes of the answer, megabytes of the server."""
    with peer.record(steps):
        pass
    start = time.perf_counter()
    with serving(peer) as process:
        answer = until(peer, steps - 1)
        seconds = time.perf_counter() - start
        return f"{seconds:8.2f} s {len(answer) / 1000:8.0f} kB {memory_of(process):6.0f} MB"


def measure_latency(peer: Peer) -> str:
    """A line: milliseconds from the write of a row to the answer that has it."""
    delays = []
    with peer.record(100) as write, serving(peer):
        until(peer, 99)
        for step in range(100, 100 + LIVE_ROWS):
            written = time.perf_counter()
            write(step)
            until(peer, step)
            delays.append(1000 * (time.perf_counter() - written))
            time.sleep(0.3 + step % 7 * 0.02)
    cuts = quantiles(delays, n=20)
    return f"p50 {cuts[9]:.0f} ms, p95 {cuts[18]:.0f} ms"


@contextmanager
def serving(peer: Peer) -> Iterator[Any]:
    """Its server, in a process of its own."""
    process = subprocess.Popen(
        peer.command,
        env=peer.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def until(peer: Peer, step: int) -> bytes:
    """Ask until the answer has this step."""
    end = time.perf_counter() + PATIENCE
    while time.perf_counter() < end:
        try:
            points = peer.points()
            if peer.newest(points) >= step:
                return points
        except (URLError, ConnectionError, ValueError, LookupError):
            pass  # it is not there yet, or has not read yet
        time.sleep(0.01)
    msg = f"{type(peer).__name__} should have told step {step} within {PATIENCE:.0f} seconds"
    raise TimeoutError(msg)


def memory_of(process: Any) -> float:
    """Megabytes of the server and of what it started."""
    family = [process, *process.children(recursive=True)]
    return float(sum(one.memory_info().rss for one in family)) / 1e6
