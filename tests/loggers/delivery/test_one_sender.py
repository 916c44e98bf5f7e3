"""Each row reaches its backend once, whatever ended, whatever the clock did, and whoever sends."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from loss_loggers import Background, CsvLogger, Every, MemoryLogger, Tee, run_info, sync
from loss_loggers.sync import SyncIsRunningError, alone

if TYPE_CHECKING:
    from pathlib import Path

SINK = """
class Sink:
    target = "sink"
    hangs = False
    def __init__(self, path): self.path = path
    def log_metrics(self, metrics, /, *, step):
        while self.hangs: time.sleep(0.001)
        with open(self.path, "a") as file: file.write(f"{step}\\n")
"""
TRAIN = (
    """
import os, random, signal, sys, time
folder, seed, order, end = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
random.seed(seed)
real, shift = time.time, 0.0
time.time = lambda: real() + shift  # as the clock of the system, so before the import
from loss_loggers import Background, CsvLogger, Tee
"""
    + SINK
    + """
record = CsvLogger(folder + "/run", resume=True)
sink = Sink(folder + "/arrived")
background = Background(sink, interval=0.01)
logger = Tee(record, background) if order == "record" else Tee(background, record)
first = int(sys.argv[5])
for step in range(first, first + 40):
    logger.log_metrics({"loss/a": 1.0}, step=step)
    shift += random.choice([0, 0, -1, 5, -3600])
    if random.random() < 0.1: time.sleep(0.02)
    if step == first + 25:
        assert background.flush(300)  # it has been noted what arrived
        sink.hangs = end == "kill"
if end == "kill": os.kill(os.getpid(), signal.SIGKILL)
logger.close()
"""
)


class Sink:
    target = "sink"

    def __init__(self, path: Path) -> None:
        self.path = path

    def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
        with self.path.open("a") as file:
            file.write(f"{step}\n")


def arrived(folder: Path) -> Counter[int]:
    path = folder / "arrived"
    return Counter(map(int, path.read_text().split())) if path.exists() else Counter()


@pytest.mark.parametrize("order", ["record", "background"])
@pytest.mark.parametrize("ends", [["kill"], ["close"], ["kill", "close"], ["kill", "kill"]])
def test_each_row_arrives_once_whatever_the_clock_does(
    tmp_path: Path, order: str, ends: list[str]
) -> None:
    seed = random.Random(f"{order} {ends}").randrange(1000)
    for number, end in enumerate(ends):
        arguments = [str(tmp_path), str(seed + number), order, end, str(40 * number)]
        subprocess.run([sys.executable, "-c", TRAIN, *arguments], check=False, timeout=300)

    sync(tmp_path / "run", Sink(tmp_path / "arrived"))

    assert arrived(tmp_path) == Counter(range(40 * len(ends)))
    assert sync(tmp_path / "run", Sink(tmp_path / "arrived")).rows == 0


def test_what_was_recorded_after_going_back_is_new(tmp_path: Path) -> None:
    record, memory = CsvLogger(tmp_path / "run"), MemoryLogger()
    with Tee(Background(memory, interval=0.01), record) as logger:
        for step in range(10):
            logger.log_metrics({"loss/a": 1.0}, step=step)
        state = record.state_dict()
        for step in range(10, 20):
            logger.log_metrics({"loss/a": 1.0}, step=step)
        record.load_state_dict(state)
        for step in range(10, 15):
            logger.log_metrics({"loss/a": 2.0}, step=step)

    assert [step for step, _, _ in memory.rows] == [*range(20), *range(10, 15)]
    assert sync(tmp_path / "run", MemoryLogger()).rows == 0


def test_rows_of_another_tee_on_the_same_record_are_not_taken_for_sent(tmp_path: Path) -> None:
    record, memory = CsvLogger(tmp_path / "run"), MemoryLogger()
    with Tee(record, Background(memory, interval=0.01)) as logger:
        for step in range(10):
            logger.log_metrics({"loss/a": 1.0}, step=step)
            record.log_metrics({"loss/b": 1.0}, step=step)

    assert len(memory.rows) == 10
    later = MemoryLogger()
    assert sync(tmp_path / "run", later).rows == 10
    assert {*later.rows[0][2]} == {"loss/b"}


def test_a_reduced_row_stands_for_those_of_its_window(tmp_path: Path) -> None:
    arrived = MemoryLogger()
    tee = Tee(
        Background(Every(10, arrived, reduce="mean"), interval=0.01), CsvLogger(tmp_path / "run")
    )
    with tee as logger:
        for step in range(25):
            logger.log_metrics({"loss/a": float(step)}, step=step)

    assert [step for step, _, _ in arrived.rows] == [0, 10, 20, 24]
    assert sync(tmp_path / "run", MemoryLogger()).rows == 0


def left_behind(folder: Path) -> None:
    """A run whose Background was killed with 90 of 100 rows."""
    code = (
        "import os, sys, time\n"
        + SINK
        + """
from loss_loggers import Background, CsvLogger, Tee
background = Background(sink := Sink(sys.argv[1] + "/arrived"), interval=60)
logger = Tee(CsvLogger(sys.argv[1] + "/run"), background)
for step in range(10): logger.log_metrics({"loss/a": float(step)}, step=step)
background.flush(300)
sink.hangs = True  # so that it has not sent the others by and by
for step in range(10, 100): logger.log_metrics({"loss/a": float(step)}, step=step)
os.kill(os.getpid(), 9)
"""
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=False, timeout=300)


def change(path: Path, **sender: Any) -> None:
    mark, *others = path.read_text().splitlines()
    mark = json.dumps({**json.loads(mark), **sender})
    path.write_text("\n".join([mark, *others]) + "\n")


def test_a_sender_of_this_machine_that_was_killed_owns_nothing(tmp_path: Path) -> None:
    left_behind(tmp_path)

    summary = sync(tmp_path / "run", Sink(tmp_path / "arrived"))

    assert (summary.rows, summary.withheld) == (90, 0)
    assert arrived(tmp_path) == Counter(range(100))


def test_a_sender_of_another_container_of_this_machine_owns_nothing(tmp_path: Path) -> None:
    left_behind(tmp_path)
    change(tmp_path / "run/sink/delivered.jsonl", host="3f9c0d1b")

    assert sync(tmp_path / "run", Sink(tmp_path / "arrived")).rows == 90


def test_a_sender_of_another_machine_is_asked_about_aloud(tmp_path: Path) -> None:
    left_behind(tmp_path)
    change(tmp_path / "run/sink/delivered.jsonl", host="node042", boot="another", pid=12)

    told = sync(tmp_path / "run", Sink(tmp_path / "arrived"))
    assert (told.rows, told.withheld) == (0, 90)
    assert told.sender == "a Background in process 12 on node042, which may still run there"

    assert sync(tmp_path / "run", Sink(tmp_path / "arrived"), everything=True).rows == 90
    assert arrived(tmp_path) == Counter(range(100))


def test_a_sender_that_runs_keeps_what_is_its_own(tmp_path: Path) -> None:
    memory = MemoryLogger()
    with Tee(CsvLogger(tmp_path / "run"), Background(memory, interval=60)) as logger:
        for step in range(20):
            logger.log_metrics({"loss/a": 1.0}, step=step)
        told = sync(tmp_path / "run", MemoryLogger())
        assert (told.rows, told.withheld) == (0, 20)
        assert f"process {os.getpid()}" in told.sender

    assert len(memory.rows) == 20
    assert sync(tmp_path / "run", MemoryLogger()) == ("memory", 0, 0, None, None, 0, "")


def test_one_sync_at_a_time_sends_to_a_place(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "run") as record:
        record.log_metrics({"loss/a": 1.0}, step=0)

    def again(*_: object) -> None:
        with pytest.raises(SyncIsRunningError, match=f"process {os.getpid()} on .* to memory"):
            sync(tmp_path / "run", MemoryLogger())

    assert sync(tmp_path / "run", MemoryLogger(), progress=again).rows == 1


def test_a_sync_that_was_killed_locks_nobody_out(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib\n"
        "from loss_loggers.sync import alone\n"
        "with alone(pathlib.Path(sys.argv[1]), 'memory'): os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], check=False)
    assert done.returncode == -signal.SIGKILL

    with alone(tmp_path / "lock", "memory"):
        pass


def _child(folder: Path) -> None:
    globals()["kept"] = logger = Tee(  # until the end
        CsvLogger(folder / "run"),
        Background(Sink(folder / "arrived")),
        Every(10, Sink(folder / "every"), reduce="mean"),
    )
    for step in range(25):
        logger.log_metrics({"loss/a": float(step)}, step=step)


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_child_of_multiprocessing_delivers_at_its_end(tmp_path: Path, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system knows no {method}")

    child = multiprocessing.get_context(method).Process(  # type: ignore[attr-defined]
        target=_child, args=(tmp_path,)
    )
    child.start()
    child.join(300)

    assert arrived(tmp_path) == Counter(range(25))
    assert (tmp_path / "every").read_text().split() == ["0", "10", "20", "24"]
    assert run_info(tmp_path / "run")["state"] == "finished"
    assert sync(tmp_path / "run", Sink(tmp_path / "arrived")).rows == 0
