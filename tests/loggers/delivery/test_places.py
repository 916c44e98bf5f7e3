"""What a kill leaves in doubt: the rows of the record that a backend lacks, and no others."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from tests.forked import MLFLOW, TRAINING, end, start

from loss_loggers import (
    Background,
    BaseLogger,
    CsvLogger,
    Every,
    MemoryLogger,
    MLflowLogger,
    Rename,
    Tee,
    TensorBoardLogger,
    read_run,
    sync,
)

from .http_backend import until

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from loss_loggers import Logger

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")

SETUP = """
import atexit, os, sys, time, warnings, weakref
warnings.simplefilter("ignore")
from loss_loggers import *

folder = sys.argv[1]

class Sink:
    target = "sink"
    hangs = is_over = False

    def log_metrics(self, metrics, /, *, step):
        while self.hangs:
            time.sleep(0.001)
        if self.is_over:
            raise RuntimeError
        name, value = min(metrics.items())
        if name == "epoch":
            name, value, step = "epoch", metrics["epoch_loss/a"], metrics["epoch"]
        with open(folder + "/arrived", "a") as file:
            file.write(f"{name.partition('/')[2] or name}{step}={value}\\n")

def log(logger, steps, loss="a", value=0.0):
    for step in steps:
        logger.log_metrics({f"loss/{loss}": value}, step=step)

def settled(background):
    assert background.flush(300)  # it is written down, too

def kill():
    os.kill(os.getpid(), 9)

sink = Sink()
record = CsvLogger(folder + "/run", resume=True)
background = Background(sink, interval=0.01)
"""


class Sink:
    target = "sink"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "arrived"

    def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
        name, value = min(metrics.items())
        if name == "epoch":
            name, value, step = "epoch", metrics["epoch_loss/a"], metrics["epoch"]
        with self._path.open("a") as file:
            file.write(f"{name.partition('/')[2] or name}{step}={value}\n")


def run(code: str, folder: Path) -> None:
    command = [sys.executable, "-c", SETUP + code, str(folder)]
    subprocess.run(command, check=False, timeout=300)


def run_forked(code: str, folder: Path, loaded: tuple[str, ...]) -> None:
    (script := folder / "script.py").write_text(SETUP + code)
    end(start(script, str(folder), loaded=loaded), 300)


def arrived(folder: Path) -> Counter[str]:
    return Counter((folder / "arrived").read_text().split())


def rows(steps: range, loss: str = "a", value: float = 0.0) -> Counter[str]:
    return Counter(f"{loss}{step}={value}" for step in steps)


def sent_by_sync(folder: Path) -> Counter[str]:
    before = arrived(folder)
    sync(folder / "run", Sink(folder))
    return arrived(folder) - before


def log(logger: Logger, steps: Iterable[int]) -> None:
    for step in steps:
        logger.log_metrics({"loss/a": 1.0}, step=step)


# What was killed.


def test_an_epoch_that_is_recorded_again_is_another_one(tmp_path: Path) -> None:
    run(
        """
tee = Tee(record, background)
log(tee, [0])
state = record.state_dict()
tee.log_epoch(0, {"a": (1.0, 5)}, step=0)
settled(background)
sink.hangs = True
record.load_state_dict(state)
tee.log_epoch(0, {"a": (2.0, 5)}, step=0)
kill()
""",
        tmp_path,
    )

    assert sent_by_sync(tmp_path) == Counter(["epoch0=2.0"])


def test_an_epoch_after_the_record_went_back_is_sent_once(tmp_path: Path) -> None:
    """Also where rows came before it."""
    run(
        """
tee = Tee(record, background)
log(tee, [0])
state = record.state_dict()
tee.log_epoch(0, {"a": (1.0, 5)}, step=0)
record.load_state_dict(state)
log(tee, [1])
tee.log_epoch(0, {"a": (2.0, 5)}, step=1)
settled(background)
kill()
""",
        tmp_path,
    )

    assert arrived(tmp_path)["epoch0=2.0"] == 1
    assert sent_by_sync(tmp_path) == Counter()


@pytest.mark.parametrize(
    "fault",
    [
        "(record.path / 'losses.csv').unlink()",
        "os.truncate(record.path / 'losses.csv', 500)",
        "record.path.rename(folder + '/elsewhere')",
    ],
)
@pytest.mark.parametrize("rows_at_once", [1, 30])
def test_a_record_that_finds_its_file_again_leaves_nothing_to_repeat(
    tmp_path: Path, fault: str, rows_at_once: int
) -> None:
    run(
        f"""
tee = Tee(record, background)
def log_late(steps):
    for first in steps[:: {rows_at_once}]:
        batch = range(first, first + {rows_at_once})
        tee.log_rows([(step, 1.5e9, {{"loss/a": 0.0}}) for step in batch])
log_late(range(120))
{fault}
log_late(range(120, 240))
settled(background)
kill()
""",
        tmp_path,
    )

    assert sent_by_sync(tmp_path) == Counter()


@pytest.mark.parametrize("taken", [[1], [2], [1, 2]])
@pytest.mark.parametrize("rows_after", [3, 100])
def test_parts_that_are_taken_away_leave_nothing_to_repeat(
    tmp_path: Path, taken: list[int], rows_after: int
) -> None:
    """Whether the process is killed before it looks for its files, or after."""
    run(
        f"""
tee = Tee(record, background)
log(tee, range(50))
tee.log_metrics({{"loss/a": 0.0, "own/a": 1.0}}, step=50)
log(tee, range(51, 120))
for part in {taken}:
    (record.path / ("losses.csv" if part == 1 else "losses-2.csv")).rename(f"{{folder}}/{{part}}")
log(tee, range(120, 120 + {rows_after}))
settled(background)
kill()
""",
        tmp_path,
    )
    run("log(Tee(record, background), range(500, 520)); background.close()", tmp_path)

    assert sent_by_sync(tmp_path) == Counter()
    assert set(arrived(tmp_path).values()) == {1}
    columns = read_run(tmp_path / "run").columns
    first = range(50) if 1 not in taken else []
    rest = range(50, 120 + rows_after) if 2 not in taken or rows_after == 100 else []
    assert columns["step"].tolist() == [*first, *rest, *range(500, 520)]
    assert (columns["time"][1:] > columns["time"][:-1]).all()


def test_the_rows_of_a_slower_tracker_in_an_open_window_are_sent(tmp_path: Path) -> None:
    run(
        """
tee = Tee(record, Every(10, background, reduce="mean"))
for step in range(31):
    log(tee, [step], "G")
    if step % 5 == 0:
        log(tee, [step // 5], "D")
settled(background)
kill()
""",
        tmp_path,
    )

    sent = sent_by_sync(tmp_path)

    assert sent == rows(range(21, 31), "G") + rows(range(1, 7), "D")


def test_a_window_covers_no_row_that_was_recorded_again_in_its_place(tmp_path: Path) -> None:
    run(
        """
tee = Tee(record, every := Every(100, background, reduce="mean"))
log(tee, range(1, 121))
state = record.state_dict()
log(tee, range(121, 151))
record.load_state_dict(state)
every.flush()
settled(background)
log(tee, range(121, 141), value=2.0)
kill()
""",
        tmp_path,
    )

    assert sent_by_sync(tmp_path) == rows(range(121, 141), value=2.0)


@pytest.mark.parametrize("other", ["{}", "Rename('{{loss}}_{{stat}}', {})"])
def test_the_places_of_another_record_are_not_taken_for_those_of_ours(
    tmp_path: Path, other: str
) -> None:
    with CsvLogger(tmp_path / "other") as before:
        log(before, range(50))
    behind = other.format("CsvLogger(folder + '/other', resume=True)")
    run(
        f"""
tee = Tee(record, {behind}, background)
log(tee, range(10))
settled(background)
sink.hangs = True
log(tee, range(10, 20))
kill()
""",
        tmp_path,
    )

    assert sent_by_sync(tmp_path) == rows(range(10, 20))


def test_no_more_than_a_batch_comes_again(tmp_path: Path) -> None:
    run(
        """
class Batches(Sink):
    calls = 0
    def log_rows(self, rows):
        for step, _, metrics in rows:
            self.log_metrics(metrics, step=step)
        self.calls += 1
        if self.calls == 30:
            kill()
logger = Tee(record, Background(Batches(), interval=0.5))
log(logger, range(4900))
time.sleep(600)
""",
        tmp_path,
    )

    sync(tmp_path / "run", Sink(tmp_path))

    assert set(arrived(tmp_path)) == set(rows(range(4900)))
    assert 0 <= sum(arrived(tmp_path).values()) - 4900 <= 100


def test_a_directory_of_tensorboard_has_each_step_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the tensorboard extra")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    run_forked(
        """
from torch.utils.tensorboard import SummaryWriter
class Killed(TensorBoardLogger):
    calls = 0
    def settle(self):
        super().settle()
        self.calls += 1
        if self.calls == 3:  # all is there, and not written down yet
            kill()
tee = Tee(record, Background(Rename("{stat}_{loss}", Killed(SummaryWriter(folder + "/tb")))))
log(tee, range(350), value=0.1)
time.sleep(600)
""",
        tmp_path,
        TRAINING,
    )
    with SummaryWriter(str(tmp_path / "tb")) as writer:
        sync(tmp_path / "run", Rename("{stat}_{loss}", TensorBoardLogger(writer)))

    events = EventAccumulator(str(tmp_path / "tb"), size_guidance={"scalars": 0}).Reload()
    assert [event.step for event in events.Scalars("loss_a")] == list(range(350))


def test_mlflow_has_each_row_once_whatever_the_clock_did(tmp_path: Path, mlflow_uri: str) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs the mlflow extra")
    client = mlflow.MlflowClient(mlflow_uri)
    run_id = client.create_run("0").info.run_id
    with CsvLogger(tmp_path / "run") as record:
        record.log_rows([(0, time.time() + 3600, {"loss/a": 1.0})])  # the clock was set back since
    run_forked(
        f"""
import mlflow
class Killed(MLflowLogger):
    calls = 0
    def log_rows(self, rows):
        super().log_rows(rows)
        self.calls += 1
        if self.calls == 2:  # all is there, and not written down yet
            kill()
logger = Killed({run_id!r}, mlflow.MlflowClient("sqlite:///" + folder + "/mlflow.db"))
tee = Tee(Background(logger), record)
log(tee, range(1, 300))
time.sleep(600)
""",
        tmp_path,
        MLFLOW,
    )
    live = len(client.get_metric_history(run_id, "loss/a"))

    sync(tmp_path / "run", MLflowLogger(run_id, client))

    history = client.get_metric_history(run_id, "loss/a")
    assert 0 < live < len(history)
    assert sorted(one.step for one in history) == list(range(300))


def test_kept_rows_do_not_pass_a_rename_twice(tmp_path: Path) -> None:
    class Away(MemoryLogger):
        is_away = True

        def log_rows(self, rows: Any) -> None:
            if self.is_away:
                raise ConnectionError
            super().log_rows(rows)

    away = Away()
    with (
        pytest.warns(RuntimeWarning, match="takes no rows"),
        Tee(CsvLogger(tmp_path / "run"), Background(Rename("{stat}-{loss}", away))) as tee,
    ):
        log(tee, range(5))
    with CsvLogger(tmp_path / "run", resume=True) as alone:
        log(alone, range(5, 10))
    away.is_away = False

    assert sync(tmp_path / "run", Rename("{stat}-{loss}", away)).rows == 10
    assert [step for step, _ in away["loss-a"]] == list(range(10))


# Who sends.


def test_rows_in_a_window_are_left_to_their_background(tmp_path: Path) -> None:
    every = Every(10, Background(MemoryLogger(), interval=0.01), reduce="mean")
    with Tee(CsvLogger(tmp_path / "run"), every) as tee:
        log(tee, range(1, 8))
        told = sync(tmp_path / "run", MemoryLogger())

    assert (told.rows, told.withheld) == (0, 7)


def test_epochs_that_are_held_back_are_counted(tmp_path: Path) -> None:
    with Tee(CsvLogger(tmp_path / "run"), Background(MemoryLogger(), interval=60)) as tee:
        tee.log_epoch(0, {"a": (1.0, 5)}, step=0)
        told = sync(tmp_path / "run", MemoryLogger())

    assert (told.rows, told.withheld) == (0, 1)


def test_a_background_that_begins_while_sync_works_sends_its_rows_alone(tmp_path: Path) -> None:
    live, later = MemoryLogger(), MemoryLogger()
    with CsvLogger(tmp_path / "run") as record:
        log(record, range(250))
    begun: list[Tee] = []

    def begin(*_: object) -> None:
        if not begun:
            again = CsvLogger(tmp_path / "run", resume=True)
            begun.append(Tee(again, Background(live, interval=0.01)))
            log(begun[0], range(250, 300))

    sync(tmp_path / "run", later, progress=begin)
    begun[0].close()

    assert [step for step, _, _ in later.rows] == list(range(250))
    assert [step for step, _, _ in live.rows] == list(range(250, 300))


@pytest.mark.filterwarnings("ignore:.*is written by a new logger")
def test_two_backgrounds_in_turn_leave_nothing_to_repeat(tmp_path: Path) -> None:
    is_called = threading.Event()

    class Slow(MemoryLogger):
        def log_rows(self, rows: Any) -> None:
            is_called.set()
            time.sleep(0.3)
            super().log_rows(rows)

    slow, memory = Slow(), MemoryLogger()
    slow_target: Any = slow
    type(slow_target).target = "memory"
    old = Tee(CsvLogger(tmp_path / "run"), Background(slow, interval=0.01))
    log(old, range(30))
    assert is_called.wait(300)
    new = Tee(CsvLogger(tmp_path / "run", resume=True), Background(memory, interval=0.01))
    log(new, range(30, 60))  # as in a notebook whose cell is run again

    old.close()
    new.close()

    assert [step for step, _, _ in (*slow.rows, *memory.rows)] == list(range(60))
    assert sync(tmp_path / "run", MemoryLogger()).rows == 0


def test_a_later_rank_writes_down_what_arrived_in_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Tee(CsvLogger(tmp_path / "run"), Background(MemoryLogger()))
    monkeypatch.setenv("RANK", "1")
    second = Tee(record := CsvLogger(tmp_path / "run"), Background(MemoryLogger()))
    for tee in (first, second):
        log(tee, range(5))
        tee.close()

    assert record.path == tmp_path / "run-2"
    assert sync(tmp_path / "run", MemoryLogger()).rows == 0
    assert sync(tmp_path / "run-2", MemoryLogger()).rows == 0


# The end.


def test_every_sends_its_last_window_before_an_sdk_ends_its_run(tmp_path: Path) -> None:
    run(
        """
class Owner: ...
owner = Owner()
weakref.finalize(owner, int)  # the hook of all finalizers is there, as in most programs
def end(): sink.is_over = True
atexit.register(end)
every = Every(10, sink, reduce="mean")
log(every, range(1, 6))
""",
        tmp_path,
    )

    assert arrived(tmp_path) == Counter(["a5=0.0"])


@pytest.mark.parametrize("ending", ["every.close(); os._exit(0)", "sys.exit(0)"])
def test_a_forked_child_sends_its_own_window_of_every(tmp_path: Path, ending: str) -> None:
    run(
        f"""
every = Every(10, sink, reduce="mean")
log(every, range(1, 6))
if os.fork() == 0:
    log(every, [7], value=2.0)
    {ending}
os.wait()
""",
        tmp_path,
    )

    assert arrived(tmp_path) == Counter(["a5=0.0", "a7=2.0"])


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit, KeyboardInterrupt])
def test_whatever_a_logger_raises_its_thread_goes_on(
    tmp_path: Path, error: type[BaseException]
) -> None:
    class Raises(BaseLogger):
        steps: list[int]
        is_first = True

        def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
            if self.is_first:
                self.is_first = False
                raise error
            self.steps.append(step)

        def close(self, error_: BaseException | None = None) -> None:
            raise error

    logger = Raises()
    logger.steps = []
    background = Background(logger, interval=0.01, undelivered=tmp_path / "rows.jsonl")
    log(background, [0])
    until(lambda: not logger.is_first)
    log(background, range(1, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        background.close()

    assert logger.steps[-4:] == [1, 2, 3, 4]
    assert background.delivered + background.failed == 5
