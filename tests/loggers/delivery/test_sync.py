from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from loss_loggers import (
    Background,
    CsvLogger,
    Every,
    MemoryLogger,
    NotDeliveredError,
    Rename,
    Summary,
    Tee,
    TensorBoardLogger,
    sync,
)
from loss_loggers.recording._rows import read_rows

from .http_backend import Backend, HttpLogger, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.loggers.conftest import Caught

    from loss_loggers import Logger, Row

HERE = Path(__file__).parent


class Fickle(MemoryLogger):
    """A backend that goes away after so many rows, and may come back."""

    def __init__(self, rows: float = math.inf) -> None:
        super().__init__()
        self.room = rows
        self.seconds = 0.0

    def log_rows(self, rows: Sequence[Row]) -> None:
        if len(self.rows) + len(rows) > self.room:
            time.sleep(self.seconds)
            raise ConnectionError
        super().log_rows(rows)

    @property
    def steps(self) -> list[int]:
        return [step for step, _, _ in self.rows]


class OneByOne:
    """A logger that takes no batches, and loses its connection at one row."""

    target = "fickle"

    def __init__(self, bad: int = -1) -> None:
        self.bad = bad
        self.steps: list[int] = []

    def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
        if step == self.bad:
            raise ConnectionError
        self.steps.append(step)


class Away:
    """A backend that is away; unless told, that of a `MemoryLogger`."""

    target = MemoryLogger().target

    def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
        raise OSError


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    server = Backend(tmp_path).start()
    yield server
    server.kill()


def send(logger: Logger, steps: range) -> None:
    for step in steps:
        logger.log_metrics({"loss/G": step / 3, "loss/D": step / 7}, step=step)


def record(path: Path, steps: int = 10) -> Path:
    with CsvLogger(path) as logger:
        send(logger, range(steps))
    return logger.path


def test_a_whole_run_is_sent_as_it_was_logged(tmp_path: Path) -> None:
    rows: list[Row] = [
        (0, 1.5e9, {"loss/G": 0.1 + 0.2, "loss/val/D, b": -1e-300, "weight/G": 1, "lr": 1e-3}),
        (0, 1.5e9 + 1e-6, {"loss/G": 1e300, "median/G": 2**60}),
        (5, 1.5e9 + 2, {"loss/G": math.inf}),
        (3, 1.5e9 + 3, {"loss/ü": -0.0}),
    ]
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_hyperparams({"losses": ["G"]})
        logger.log_rows(rows)
    memory = MemoryLogger()

    summary = sync(logger.path, memory)

    assert memory.rows == rows
    assert memory.hyperparameters == {"losses": ["G"]}
    assert summary == Summary("memory", rows=4, numbers=8, first_step=0, last_step=5)


def test_nan_arrives(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        logger.log_metrics({"loss/G": math.nan}, step=0)
    memory = MemoryLogger()

    sync(tmp_path, memory)

    assert math.isnan(memory.values("loss/G")[0])


def test_twice_is_not_double(tmp_path: Path) -> None:
    run, memory = record(tmp_path), MemoryLogger()

    assert sync(run, memory).rows == 10
    assert sync(run, memory) == Summary("memory")

    assert len(memory.rows) == 10


def test_only_what_is_new_is_sent(tmp_path: Path) -> None:
    memory = MemoryLogger()

    with CsvLogger(tmp_path) as logger:
        for start in range(0, 30, 10):
            send(logger, range(start, start + 10))
            logger.log_metrics({f"loss/G{start}": 1.0, f"new{start}/G": 1.0}, step=start)
            sync(tmp_path, memory)

    assert memory.values("loss/G") == [step / 3 for step in range(30)]
    assert len(memory.rows) == 33


@pytest.mark.parametrize(
    "wrapped", [lambda every: every, lambda every: Rename("{stat}/{loss}", every)]
)
def test_the_last_window_of_an_every_is_sent_too(tmp_path: Path, wrapped: Any) -> None:
    run, memory = record(tmp_path / "gan", 14), MemoryLogger()

    sync(run, wrapped(Every(10, memory, reduce="mean")))

    assert [step for step, _, _ in memory.rows] == [0, 10, 13]


def test_a_last_window_that_does_not_arrive_is_an_error(tmp_path: Path, caught: Caught) -> None:
    run = record(tmp_path / "gan", 14)

    with pytest.raises(NotDeliveredError, match="did not take 1 rows"):
        sync(run, Every(10, Fickle(2), reduce="mean"))

    assert len(caught) == 1


@pytest.mark.filterwarnings("ignore:.*failed")
@pytest.mark.parametrize("rows", range(5))
@pytest.mark.parametrize("reduce", ["mean", "last"])
def test_a_window_during_which_the_backend_goes_away_is_sent_whole(
    tmp_path: Path, rows: int, reduce: Any
) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        for step in range(350):
            loss = "G" if step % 3 else "D"  # each has windows of its own
            logger.log_metrics({f"loss/{loss}": step / 3}, step=step)
    whole, fickle = MemoryLogger(), Fickle(rows)
    every = Every(100, whole, reduce=reduce)
    every.log_rows([row for row, _ in read_rows(logger.path)])
    every.flush()

    with pytest.raises(NotDeliveredError):
        sync(logger.path, Every(100, fickle, reduce=reduce))
    fickle.room = math.inf
    sync(logger.path, Every(100, fickle, reduce=reduce))

    assert sorted({repr(row) for row in fickle.rows}) == sorted(map(repr, whole.rows))
    assert sync(logger.path, Every(100, fickle, reduce=reduce)).rows == 0


@pytest.mark.filterwarnings("ignore:.*failed")
@pytest.mark.parametrize("seconds", [0.0, 0.05])
@pytest.mark.parametrize("is_same", [True, False])
@pytest.mark.parametrize("room", range(0, 15, 2))
def test_windows_that_end_at_other_rows_are_each_sent_once_and_whole(
    tmp_path: Path, room: int, is_same: bool, seconds: float
) -> None:
    """Also right after a failure that took long, for which the logger would be spared a while."""
    with CsvLogger(tmp_path / "gan") as logger:
        for step in range(500):
            early = {"loss/early": 1.0} if 130 <= step <= 150 else {}  # its window stays open
            logger.log_metrics({"loss/G": float(step), **early}, step=step)
            if step % 5 == 0:
                logger.log_metrics({"loss/slow": float(step)}, step=step // 5)
    whole, fickle = MemoryLogger(), Fickle(room)
    sync(logger.path, Every(50, whole, reduce="mean"))
    shutil.rmtree(logger.path / "memory")
    every = Every(50, fickle, reduce="mean")
    fickle.seconds = seconds

    with pytest.raises(NotDeliveredError):
        sync(logger.path, every)
    fickle.room = math.inf
    every.flush()  # as its end would
    sync(logger.path, every if is_same else Every(50, fickle, reduce="mean"))

    assert sorted(map(repr, fickle.rows)) == sorted(map(repr, whole.rows))
    assert sync(logger.path, every).rows == 0


@pytest.mark.filterwarnings("ignore:.*failed")
@pytest.mark.parametrize("room", range(1, 8))
def test_a_window_of_windows_is_sent_whole_after_a_sync_that_failed(
    tmp_path: Path, room: int
) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        for step in range(500):
            logger.log_metrics({"loss/G": float(step), "loss/D": 1.0}, step=step)

    def windows(logger: Any) -> Every:
        return Every(10, Every(60, logger, reduce="mean"), reduce="mean")

    whole, fickle = MemoryLogger(), Fickle(room)
    sync(logger.path, windows(whole))
    shutil.rmtree(logger.path / "memory")

    with pytest.raises(NotDeliveredError):
        sync(logger.path, windows(fickle))
    fickle.room = math.inf
    sync(logger.path, windows(fickle))

    assert {*map(repr, fickle.rows)} == {*map(repr, whole.rows)}


def test_another_target_has_a_cursor_of_its_own(tmp_path: Path) -> None:
    class Other(MemoryLogger):
        target = "memory other"

    run, other = record(tmp_path), Other()
    sync(run, MemoryLogger())

    assert sync(run, other).rows == 10


@pytest.mark.filterwarnings("ignore:.*takes no rows")
@pytest.mark.parametrize("word", ["x" * 300, "é" * 200])
def test_a_target_may_have_a_longer_name_than_a_file(tmp_path: Path, word: str) -> None:
    """Each has its cursor, and its rows that were not delivered."""

    class Long(MemoryLogger):
        target = word

    class Longer(MemoryLogger):
        target = f"{word}x"

    class Refuses:
        target = word

        def log_metrics(self, metrics: Any, /, *, step: int) -> None:
            raise ValueError

    with Tee(CsvLogger(tmp_path / "gan"), Background(Refuses(), timeout=0.1)) as logger:
        logger.log_metrics({"loss/a": 1.0}, step=0)

    loggers = Long(), Longer(), Long()
    assert [sync(tmp_path / "gan", logger).rows for logger in loggers] == [1, 1, 0]


def test_it_goes_on_where_it_failed(tmp_path: Path) -> None:
    run, fickle = record(tmp_path, 1000), Fickle(450)

    with pytest.raises(ConnectionError):
        sync(run, fickle)
    assert fickle.steps == list(range(400))
    fickle.room = math.inf
    sync(run, fickle)

    assert fickle.steps == list(range(1000))


def test_row_by_row_it_goes_on_at_the_very_row(tmp_path: Path) -> None:
    run, logger = record(tmp_path, 300), OneByOne(bad=150)

    with pytest.raises(ConnectionError):
        sync(run, logger)
    logger.bad = -1
    sync(run, logger)

    assert logger.steps == list(range(300))


def test_rows_that_the_logger_lost_are_an_error(tmp_path: Path) -> None:
    run, fickle = record(tmp_path, 150), Fickle(120)

    with (
        pytest.warns(RuntimeWarning, match="Fickle failed"),
        pytest.raises(NotDeliveredError, match="fickle did not take 50 rows"),
    ):
        sync(run, Rename("{loss}_{stat}", fickle))
    fickle.room = math.inf
    sync(run, Rename("{loss}_{stat}", fickle))

    assert [step for step, _ in fickle["G_loss"]] == list(range(150))


def test_a_dry_run_counts_and_sends_nothing(tmp_path: Path) -> None:
    run, memory = record(tmp_path), MemoryLogger()
    before = sorted(run.iterdir())

    summary = sync(run, memory, dry_run=True)

    assert (summary.rows, summary.numbers, summary.last_step) == (10, 20, 9)
    assert memory.rows == []
    assert sorted(run.iterdir()) == before


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    sync(record(tmp_path, 250), MemoryLogger(), progress=lambda *numbers: told.append(numbers))

    assert told == [(100, 250), (200, 250), (250, 250)]


def test_a_half_written_line_waits_for_its_end(tmp_path: Path) -> None:
    run, memory = record(tmp_path, 3), MemoryLogger()
    line = (run / "losses.csv").read_text().splitlines()[-1].replace("2,", "3,", 1)
    with (run / "losses.csv").open("a") as file:
        file.write(line[:30])

    sync(run, memory)
    with (run / "losses.csv").open("a") as file:
        file.write(line[30:] + "\n")
    sync(run, memory)

    assert [step for step, _, _ in memory.rows] == [0, 1, 2, 3]


def test_a_record_that_went_back_to_a_checkpoint_sends_what_came_then(tmp_path: Path) -> None:
    memory = MemoryLogger()
    with CsvLogger(tmp_path) as logger:
        send(logger, range(5))
        checkpoint = logger.state_dict()
        send(logger, range(5, 20))
        sync(tmp_path, memory)
        logger.load_state_dict(checkpoint)
        send(logger, range(5, 30))

    sync(tmp_path, memory)

    assert [step for step, _, _ in memory.rows] == [*range(20), *range(5, 30)]


def points(folder: Path, tag: str) -> list[tuple[int, float]]:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def send_to_tensorboard(run: Path, folder: Path) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard", reason="needs TensorBoard")
    with tensorboard.SummaryWriter(folder) as writer:
        sync(run, TensorBoardLogger(writer))


def test_tensorboard_has_each_step_once_after_a_checkpoint(tmp_path: Path) -> None:
    """And what comes at a step that is there already, as a validation does, hides nothing."""

    def train(value: float, steps: range) -> None:
        for step in steps:
            logger.log_metrics({"loss/G": value, "loss/D": value}, step=step)

    with CsvLogger(tmp_path / "run") as logger:
        train(1.0, range(20))
        send_to_tensorboard(logger.path, tmp_path / "charts")
        logger.log_metrics({"loss/val/G": 0.5}, step=19)
        send_to_tensorboard(logger.path, tmp_path / "charts")
        checkpoint = logger.state_dict()
        train(1.0, range(20, 25))
        checkpoint_before_validation = logger.state_dict()
        logger.log_metrics({"loss/val/G": 1.0}, step=24)
        train(1.0, range(25, 30))
        send_to_tensorboard(logger.path, tmp_path / "charts")
        logger.load_state_dict(checkpoint_before_validation)
        logger.log_metrics({"loss/val/G": 2.0}, step=24)
        train(2.0, range(25, 40))
        send_to_tensorboard(logger.path, tmp_path / "charts")
        assert [step for step, _ in points(tmp_path / "charts", "loss/G")] == list(range(40))
        logger.load_state_dict(checkpoint)
        train(3.0, range(20, 45))
    send_to_tensorboard(logger.path, tmp_path / "charts")

    ones, threes = [(step, 1.0) for step in range(20)], [(step, 3.0) for step in range(20, 45)]
    assert points(tmp_path / "charts", "loss/G") == ones + threes
    assert points(tmp_path / "charts", "loss/val/G") == [(19, 0.5)]


@pytest.mark.filterwarnings("ignore:Away ")
@pytest.mark.parametrize("second", ["recorded", "kept"])
@pytest.mark.parametrize("first", ["delivered", "kept", "sent", "sent and deleted"])
def test_tensorboard_has_each_step_once_however_the_steps_before_a_checkpoint_came(
    tmp_path: Path, first: str, second: str
) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard", reason="needs TensorBoard")
    charts, run, away = tmp_path / "charts", tmp_path / "run", Away()
    with tensorboard.SummaryWriter(charts) as writer:
        logger = TensorBoardLogger(writer)
        away.target = logger.target
        is_there = first == "delivered"
        background = Background(logger if is_there else away, timeout=300 * is_there)
        with Tee(record := CsvLogger(run), background) as tee:
            send(tee, range(10))
            state = record.state_dict()
            send(tee, range(10, 15))
    if first.startswith("sent"):
        send_to_tensorboard(run, charts)
    if first == "sent and deleted":
        background.undelivered[0].unlink()

    record = CsvLogger(run, resume=True)
    with Tee(record, *([Background(away, timeout=0)] if second == "kept" else [])) as tee:
        record.load_state_dict(state)
        for step in range(10, 20):
            tee.log_metrics({"loss/G": -1.0}, step=step)
    send_to_tensorboard(run, charts)
    with CsvLogger(run, resume=True) as record:
        send(record, range(20, 25))
    send_to_tensorboard(run, charts)

    found = points(charts, "loss/G")
    assert [step for step, _ in found] == list(range(25))
    assert {value for step, value in found if 10 <= step < 20} == {-1}


@pytest.mark.filterwarnings("ignore:Away ")
def test_a_kept_row_behind_which_the_record_went_back_is_sent_unless_its_step_comes_again(
    tmp_path: Path,
) -> None:
    memory, record = MemoryLogger(), CsvLogger(tmp_path)
    with Tee(record, Background(Away(), timeout=0)) as tee:
        send(tee, range(10))
        state = record.state_dict()
        send(tee, range(10, 15))
        tee.log_epoch(0, {"G": (0.5, 1)}, step=14)
        record.load_state_dict(state)
        send(tee, range(12, 20))
        tee.log_epoch(0, {"G": (0.25, 1)}, step=19)

    sync(tmp_path, memory)

    assert [step for step, _ in memory["loss/G"]] == list(range(20))
    assert memory["epoch_loss/G"] == [(19, 0.25)]


def test_tensorboard_reads_what_is_sent_later_last_whatever_the_clock_did(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "run") as logger:
        send(logger, range(20))
        send_to_tensorboard(logger.path, tmp_path / "charts")
        (file,) = (tmp_path / "charts").iterdir()
        file.rename(file.with_name("events.out.tfevents.3000000000.host.1.9"))
        state = logger.state_dict()
        send(logger, range(20, 30))
        logger.load_state_dict(state)
        send(logger, range(20, 40))
    for _ in range(12):  # also where a counter in their names goes from 9 to 10 in one second
        send_to_tensorboard(logger.path, tmp_path / "charts")

    assert [step for step, _ in points(tmp_path / "charts", "loss/G")] == list(range(40))


def test_a_gap_that_is_filled_hides_nothing_in_tensorboard(tmp_path: Path) -> None:
    for number in (2, 0, 1):  # three runs into one folder, as nobody should
        with CsvLogger(tmp_path / str(number)) as logger:
            send(logger, range(10 * number, 10 * number + 10))
        send_to_tensorboard(logger.path, tmp_path / "charts")

    assert sorted(step for step, _ in points(tmp_path / "charts", "loss/G")) == list(range(30))


def test_the_clock_may_go_back(tmp_path: Path) -> None:
    rows = [(0, 2e9, {"loss/G": 1.0}), (1, 1e9, {"loss/G": 1.0}), (2, 3e9, {"loss/G": 1.0})]
    with CsvLogger(tmp_path) as logger:
        logger.log_rows(rows)
    memory = MemoryLogger()

    sync(tmp_path, memory)

    assert [(step, time) for step, time, _ in memory.rows] == [(0, 2e9), (1, 2e9), (2, 3e9)]


def test_what_is_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"a run is a folder with run\.json"):
        sync(tmp_path, MemoryLogger())


def test_a_background_is_not_what_it_takes(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="pass the logger itself"):
        sync(record(tmp_path), Background(MemoryLogger()))


# After a Background.


def test_what_was_delivered_during_the_run_is_not_sent_again(tmp_path: Path) -> None:
    memory = MemoryLogger()
    with Tee(CsvLogger(tmp_path), Background(memory)) as tee:
        tee.log_hyperparams({"losses": ["G", "D"]})
        send(tee, range(50))

    assert sync(tmp_path, memory).rows == 0


def test_what_it_could_not_deliver_is_sent_in_order(tmp_path: Path, caught: Caught) -> None:
    fickle = Fickle()
    tee = Tee(CsvLogger(tmp_path), background := Background(fickle, interval=0.02))
    send(tee, range(30))
    background.flush()
    fickle.room = 30
    send(tee, range(30, 60))
    tee.close()
    fickle.room = math.inf

    summary = sync(tmp_path, fickle)

    assert (summary.rows, summary.first_step, summary.last_step) == (30, 30, 59)
    assert len(caught) == 1
    assert fickle.steps == list(range(60))
    assert fickle.values("loss/G") == [step / 3 for step in range(60)]
    assert sync(tmp_path, fickle).rows == 0


def test_a_gap_in_the_middle_is_sent(tmp_path: Path, caught: Caught) -> None:
    fickle = Fickle()
    background = Background(fickle, interval=0.02, max_rows=20)
    tee = Tee(CsvLogger(tmp_path), background)
    send(tee, range(10))
    background.flush()
    fickle.room = 10
    send(tee, range(10, 110))
    until(lambda: background.pending <= 15)
    fickle.room = math.inf
    tee.close()
    live = list(fickle.steps)

    sync(tmp_path, fickle)

    assert live == [*range(10), *range(95, 110)]
    assert len(caught) == 1
    assert sorted(fickle.steps) == list(range(110))
    assert sync(tmp_path, fickle).rows == 0


def test_undelivered_rows_have_the_names_and_steps_that_the_backend_would_have_got(
    tmp_path: Path,
) -> None:
    fickle = Fickle(0)
    with (
        pytest.warns(RuntimeWarning, match="takes no rows"),
        Tee(CsvLogger(tmp_path), Background(Rename("{loss}_{stat}", fickle))) as tee,
    ):
        send(tee, range(3))
    fickle.room = math.inf

    sync(tmp_path, fickle)

    assert fickle["G_loss"] == [(0, 0.0), (1, 1 / 3), (2, 2 / 3)]


def test_a_resumed_run_sends_what_lies_between(tmp_path: Path) -> None:
    memory = MemoryLogger()
    with Tee(CsvLogger(tmp_path), Background(memory)) as tee:
        send(tee, range(10))
    with CsvLogger(tmp_path, resume=True) as alone:
        send(alone, range(10, 20))
    with Tee(CsvLogger(tmp_path, resume=True), Background(memory)) as tee:
        send(tee, range(20, 30))

    assert sync(tmp_path, memory).rows == 10

    assert sorted(step for step, _, _ in memory.rows) == list(range(30))


def test_a_file_of_undelivered_rows_is_enough(tmp_path: Path) -> None:
    fickle = Fickle(0)
    logger = Background(fickle, undelivered=tmp_path / "rows.jsonl")
    logger.log_hyperparams({"losses": ["G"]})
    send(logger, range(5))
    with pytest.warns(RuntimeWarning, match="takes no rows"):
        logger.close()
    fickle.room = math.inf

    assert sync(tmp_path / "rows.jsonl", fickle).rows == 5
    assert sync(tmp_path / "rows.jsonl", fickle).rows == 0

    assert fickle.steps == [0, 1, 2, 3, 4]
    assert fickle.hyperparameters == {"losses": ["G"]}


def test_a_run_that_goes_on_keeps_what_its_background_is_about_to_deliver(tmp_path: Path) -> None:
    memory = MemoryLogger()
    tee = Tee(CsvLogger(tmp_path), Background(memory, interval=60))
    send(tee, range(1))
    send(tee, range(1, 5))

    assert sync(tmp_path, MemoryLogger()).rows == 0

    tee.close()
    assert [step for step, _, _ in memory.rows] == [0, 1, 2, 3, 4]


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_sync_goes_on_with_at_most_a_batch_repeated(
    tmp_path: Path, backend: Backend
) -> None:
    run = record(tmp_path / "gan", 5000)
    code = (
        f"import sys; sys.path.insert(0, {str(HERE)!r});"
        "from http_backend import HttpLogger; from loss_loggers import sync;"
        "sync(sys.argv[1], HttpLogger(int(sys.argv[2])))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(run), str(backend.port)])

    until(lambda: len(backend.rows) > 300)
    process.send_signal(signal.SIGKILL)
    process.wait(300)
    sync(run, HttpLogger(backend.port))

    steps = backend.steps
    assert sorted(set(steps)) == list(range(5000))
    assert 5000 <= len(steps) <= 5100
    content = json.loads((run / "http/sent.json").read_text())
    assert content["target"] == "http"


def test_a_link_to_a_run_is_no_copy_of_it(tmp_path: Path) -> None:
    memory = MemoryLogger()
    run, link = record(tmp_path / "gan", 3), tmp_path / "link"
    link.symlink_to(run)

    assert [sync(path, memory).rows for path in (link, run, link)] == [3, 0, 0]


def test_it_is_a_function_and_a_module(tmp_path: Path) -> None:
    import loss_loggers.sync as module

    memory = MemoryLogger()

    assert sync(record(tmp_path / "gan", 3), memory).rows == 3
    assert module.sync(tmp_path / "gan", memory).rows == 0
    assert module.targets_of(tmp_path / "gan") == ["memory"]


@pytest.mark.parametrize("odd", ["x", 3, None, [], [1], ["x"], [{"epochs": "x"}], [{"part": []}]])
@pytest.mark.parametrize("key", ["hyperparameters", "resumed"])
def test_a_run_json_that_somebody_edited_keeps_no_row_back(
    tmp_path: Path, key: str, odd: object
) -> None:
    run = record(tmp_path / "gan")
    info = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**info, key: odd}))
    memory = MemoryLogger()

    first, again = sync(run, memory), sync(run, memory)

    assert (first.rows, again.rows, len(memory.rows)) == (10, 0, 10)


def test_a_run_folder_that_was_deleted_and_is_there_again_knows_what_arrived(
    tmp_path: Path, caught: Caught
) -> None:
    there = Fickle(60)
    background = Background(there, interval=0.01)
    run = tmp_path / "gan"
    tee = Tee(CsvLogger(run), background)
    send(tee, range(30))
    background.flush(10)

    shutil.rmtree(run)
    send(tee, range(30, 90))  # the record has looked by then
    background.flush(10)
    for step in range(90, 120):
        send(tee, range(step, step + 1))
        background.flush(10)
    tee.close()
    sent, there.room = len(there.rows), math.inf
    sync(run, there)

    assert sent < 120
    assert set(there.steps) == set(range(120))
    assert len(there.steps) <= 121  # the row at which the folder was found again may come twice
    assert any("what was written is saved" in str(one.message) for one in caught)


def test_rows_that_are_kept_in_a_file_that_was_deleted_are_in_the_next_one(
    tmp_path: Path, caught: Caught
) -> None:
    file = tmp_path / "kept" / "rows.jsonl"
    background = Background(Fickle(0), undelivered=file, interval=0.01)
    background.close()
    send(background, range(3))
    shutil.rmtree(file.parent)
    send(background, range(3, 5))

    assert [json.loads(line)["step"] for line in file.read_text().splitlines()] == list(range(5))
    assert background.failed == 5
    assert len(caught) == 1


@pytest.mark.filterwarnings("ignore:Away ")
@pytest.mark.parametrize("rows", [2, 30])
def test_a_file_of_undelivered_rows_that_was_sent_and_deleted_is_forgotten(
    tmp_path: Path, rows: int
) -> None:
    """Without a record, a later file of its name is another one, shorter or longer."""
    memory, file = MemoryLogger(), tmp_path / "rows.jsonl"
    for steps in (range(10), range(10, 10 + rows)):
        file.unlink(missing_ok=True)
        with Background(Away(), undelivered=file, timeout=0) as background:
            send(background, steps)
        assert sync(file, memory).rows == len(steps)
        assert sync(file, memory).rows == 0

    assert [step for step, _, _ in memory.rows] == list(range(10 + rows))


@pytest.mark.filterwarnings("ignore:Away ")
def test_a_run_knows_what_was_sent_from_a_file_that_was_deleted(tmp_path: Path) -> None:
    """All of its rows arrive, once, also where another such file follows."""
    memory = MemoryLogger()
    for steps in (range(10), range(10, 14), range(14, 50)):
        with Tee(CsvLogger(tmp_path, resume=True), Background(Away(), timeout=0)) as tee:
            send(tee, steps)
            tee.log_epoch(steps[0], {"G": (0.5, 1)}, step=steps[-1])
        assert sync(tmp_path, memory).rows == len(steps) + 1
        (tmp_path / "memory/undelivered.jsonl").unlink()
        assert sync(tmp_path, memory).rows == 0

    assert [step for step, _ in memory["loss/G"]] == list(range(50))
    assert [step for step, _ in memory["epoch_loss/G"]] == [9, 13, 49]


@pytest.mark.filterwarnings("ignore:Away ")
def test_a_run_knows_what_was_sent_from_such_a_file_in_two_halves(tmp_path: Path) -> None:
    one_by_one, away = OneByOne(bad=5), Away()
    away.target = one_by_one.target
    with Tee(CsvLogger(tmp_path), Background(away, timeout=0)) as tee:
        send(tee, range(10))
    with pytest.raises(ConnectionError):
        sync(tmp_path, one_by_one)
    one_by_one.bad = -1
    sync(tmp_path, one_by_one)
    (tmp_path / "fickle/undelivered.jsonl").unlink()

    assert sync(tmp_path, one_by_one).rows == 0
    assert one_by_one.steps == list(range(10))


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        ("undelivered.jsonl", "[1]\n", 11),
        ("undelivered.jsonl", '{"step": 1}\n', 11),
        ("undelivered.jsonl", "half\n", 11),
        ("../losses.csv", "x,1.0,G" + "," * 12 + "\n", 12),
        ("../epochs.csv", "1,x,G,0.5,1\n", 1),
        ("sent.json", '{"rows": "xy"}', 1),
        ("sent.json", '{"rows": null, "undelivered": 3}', 1),
    ],
)
def test_a_file_that_makes_no_sense_is_named_with_its_line(
    tmp_path: Path, file: str, text: str, line: int
) -> None:
    class Down:
        target = "memory"

        def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
            raise OSError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Tee(CsvLogger(tmp_path / "gan"), Background(Down(), timeout=0.1)) as tee:
            for step in range(10):
                tee.log_metrics({"loss/G": 0.5}, step=step)
    broken = (tmp_path / "gan" / "memory" / file).resolve()
    with broken.open("a") as opened:
        opened.write(text)

    with pytest.raises(ValueError, match=rf"{re.escape(str(broken))}, line {line}: it "):
        sync(tmp_path / "gan", MemoryLogger())
