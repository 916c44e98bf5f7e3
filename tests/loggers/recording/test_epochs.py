"""The means of an epoch: in a file of their own, and at every other logger as a row."""

from __future__ import annotations

import io
import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from loss_loggers import (
    Background,
    BaseLogger,
    ConsoleLogger,
    CsvLogger,
    Every,
    Guard,
    MemoryLogger,
    Rename,
    Summary,
    Tee,
    read_run,
    sync,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from loss_loggers import Logger, Row

MEANS = {"G": (0.1 + 0.2, 128), "val/D, b": (-1e-300, 7.5)}
ROW = {"epoch": 3, "epoch_loss/G": 0.1 + 0.2, "epoch_loss/val/D, b": -1e-300}


class Foreign:
    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, Any]]] = []

    def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
        self.rows.append((step, metrics))


class Knowing(MemoryLogger):
    """A logger that has a way of its own for epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[tuple[int, int, dict[str, Any]]] = []

    def log_epoch(self, epoch: int, means: Mapping[str, Any], /, *, step: int) -> None:
        self.epochs.append((epoch, step, dict(means)))


class Fickle(MemoryLogger):
    """A backend that is away."""

    is_away = True

    def log_rows(self, rows: Sequence[Row]) -> None:
        if self.is_away:
            raise ConnectionError
        super().log_rows(rows)


def text(path: Path) -> str:
    return (path / "epochs.csv").read_text()


def train(logger: Any, epochs: range, steps: int = 5) -> None:
    for epoch in epochs:
        for step in range(epoch * steps, (epoch + 1) * steps):
            logger.log_metrics({"loss/G": step / 3}, step=step)
        logger.log_epoch(epoch, {"G": (epoch / 7, steps)}, step=(epoch + 1) * steps - 1)


def epochs_of(memory: MemoryLogger) -> list[tuple[int, int, float]]:
    """The epoch, step and mean of each row of an epoch."""
    rows = [(step, metrics) for step, _, metrics in memory.rows if "epoch" in metrics]
    return [(metrics["epoch"], step, metrics["epoch_loss/G"]) for step, metrics in rows]


def expected(epochs: range) -> list[tuple[int, int, float]]:
    return [(epoch, epoch * 5 + 4, epoch / 7) for epoch in epochs]


# Where the means go.


def test_each_logger_gets_an_epoch_in_its_own_way(tmp_path: Path) -> None:
    memory, foreign, knowing = MemoryLogger(), Foreign(), Knowing()

    with Tee(memory, foreign, knowing, CsvLogger(tmp_path)) as tee:
        tee.log_epoch(3, MEANS, step=41)

    assert [(step, metrics) for step, _, metrics in memory.rows] == foreign.rows == [(41, ROW)]
    assert type(foreign.rows[0][1]) is dict
    assert (knowing.epochs, knowing.rows) == ([(3, 41, MEANS)], [])
    assert text(tmp_path).splitlines() == [
        "epoch,step,name,mean,samples",
        "3,41,G,0.30000000000000004,128",
        '3,41,"val/D, b",-1e-300,7.5',
    ]
    assert not (tmp_path / "losses.csv").read_text()


def test_a_failure_is_counted_and_starves_no_other() -> None:
    class Broken(BaseLogger):
        def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
            raise OSError

    class Stuck(Broken):
        def log_epoch(self, epoch: int, means: Any, /, *, step: int) -> None:
            raise OSError

    memory = MemoryLogger()
    for kind in (Broken, Stuck):
        tee = Tee(kind(), memory)
        with pytest.warns(RuntimeWarning, match=f"{kind.__name__} failed"):
            tee.log_epoch(3, MEANS, step=41)
        assert tee.failed == 1

    assert len(memory.rows) == 2


def test_a_guard_keeps_an_epoch_from_a_logger_that_just_failed_slowly() -> None:
    guard = Guard(memory := Knowing())
    guard._silent_until = math.inf

    guard.log_epoch(3, MEANS, step=41)

    assert (guard.withheld, memory.epochs) == (1, [])


@pytest.mark.parametrize("reduce", ["last", "mean"])
def test_every_sends_an_epoch_at_once(reduce: Any) -> None:
    memory, knowing, renamed = MemoryLogger(), Knowing(), MemoryLogger()
    every = Every(10, [memory, knowing], reduce=reduce)

    every.log_epoch(3, MEANS, step=41)
    Rename("{loss}_{stat}", Every(10, renamed, reduce=reduce)).log_epoch(3, MEANS, step=41)

    assert [row[2] for row in memory.rows] == [ROW]
    assert knowing.epochs == [(3, 41, MEANS)]
    assert renamed["G_epoch_loss"] == [(41, 0.1 + 0.2)]


def test_rename_renames_the_means() -> None:
    memory = MemoryLogger()

    Rename("{loss}_{stat}", memory).log_epoch(3, {"G": (0.5, 8)}, step=41)

    assert memory.rows[0][2] == {"epoch": 3, "G_epoch_loss": 0.5}


def test_a_background_delivers_epochs_in_their_order() -> None:
    memory = MemoryLogger()

    with Background(memory) as logger:
        train(logger, range(3))

    assert [step for step, _, _ in memory.rows] == [
        *(0, 1, 2, 3, 4, 4),
        *(5, 6, 7, 8, 9, 9),
        *(10, 11, 12, 13, 14, 14),
    ]
    assert epochs_of(memory) == expected(range(3))


def test_a_console_shows_an_epoch_whatever_its_step() -> None:
    stream = io.StringIO()

    ConsoleLogger(every=50, stream=stream).log_epoch(3, {"G": (0.5, 8)}, step=41)

    assert stream.getvalue() == "step      41 | epoch 3 | G    0.5000\n"


# The file.


def test_an_epoch_is_on_disk_when_it_was_logged_and_comes_back_exactly(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        logger.log_epoch(0, {"G": (1 / 3, 10), "D": (math.nan, 0)}, step=9)
        logger.log_epoch(1, {"G": (math.inf, 2**53 - 1)}, step=21)

        epochs = read_run(tmp_path).epochs

    assert {name: str(column.dtype) for name, column in epochs.items()} == {
        "epoch": "int64",
        "step": "int64",
        "name": "object",
        "mean": "float64",
        "samples": "float64",
    }
    assert epochs["epoch"].tolist() == [0, 0, 1]
    assert epochs["step"].tolist() == [9, 9, 21]
    assert epochs["name"].tolist() == ["G", "D", "G"]
    assert epochs["mean"][0] == 1 / 3
    assert math.isnan(epochs["mean"][1])
    assert epochs["mean"][2] == math.inf
    assert epochs["samples"].tolist() == [10, 0, 2**53 - 1]


def test_a_run_without_epochs_has_no_such_file_and_empty_columns(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        logger.log_metrics({"loss/G": 0.5}, step=0)
        logger.log_epoch(0, {}, step=0)

    epochs = read_run(tmp_path).epochs
    assert not (tmp_path / "epochs.csv").exists()
    assert list(epochs) == ["epoch", "step", "name", "mean", "samples"]
    assert all(len(column) == 0 for column in epochs.values())


def test_a_loss_has_the_same_name_in_both_files(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        with pytest.warns(RuntimeWarning, match="has a name like"):
            logger.log_metrics({"loss/a b": 1.0, "loss/a\nb": 2.0}, step=0)
        logger.log_epoch(0, {"a\nb": (2.0, 1), "a b": (1.0, 1)}, step=0)

    epochs = read_run(tmp_path).epochs
    assert dict(zip(epochs["name"], epochs["mean"], strict=True)) == {"a b": 1.0, "a b_2": 2.0}


def test_an_epoch_after_the_end_is_counted_and_not_written(tmp_path: Path) -> None:
    logger = CsvLogger(tmp_path)
    logger.close()

    with pytest.warns(RuntimeWarning, match="it is closed"):
        logger.log_epoch(0, {"G": (0.5, 8)}, step=0)

    assert logger.failed == 1
    assert not (tmp_path / "epochs.csv").exists()


def test_a_resumed_run_goes_on_after_its_last_whole_line(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        train(logger, range(2))
    with (tmp_path / "epochs.csv").open("a") as file:
        file.write("2,14,G,0.")

    assert len(read_run(tmp_path).epochs["epoch"]) == 2
    with pytest.warns(RuntimeWarning, match="half-written line: 9 bytes were dropped"):
        resumed = CsvLogger(tmp_path, resume=True)
    with resumed:
        train(resumed, range(2, 4))

    assert read_run(tmp_path).epochs["epoch"].tolist() == [0, 1, 2, 3]
    assert text(tmp_path).count("epoch,step") == 1


def test_a_checkpoint_puts_the_epochs_back_too(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        start = logger.state_dict()
        train(logger, range(2))
        checkpoint = json.loads(json.dumps(logger.state_dict()))
        before = text(tmp_path)
        train(logger, range(2, 4))

    with CsvLogger(tmp_path, resume=True) as resumed:
        resumed.load_state_dict(checkpoint)
        assert text(tmp_path) == before
        train(resumed, range(2, 3))
        assert read_run(tmp_path).epochs["epoch"].tolist() == [0, 1, 2]
        resumed.load_state_dict(start)
        train(resumed, range(1))

    assert read_run(tmp_path).epochs["epoch"].tolist() == [0]
    assert set(start) == {"run", "part", "offset", "epochs"}


def test_a_checkpoint_from_before_there_were_epochs_loads(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        logger.log_metrics({"loss/G": 0.5}, step=0)
        checkpoint = {key: it for key, it in logger.state_dict().items() if key != "epochs"}
        train(logger, range(1))

        logger.load_state_dict(checkpoint)

    run = read_run(tmp_path)
    assert run["G"]["step"].tolist() == [0]
    assert run.epochs["epoch"].tolist() == []


def test_a_checkpoint_beyond_the_epochs_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        checkpoint = logger.state_dict()
        train(logger, range(2))
        before = text(tmp_path), (tmp_path / "losses.csv").read_text()

        with pytest.raises(ValueError, match=r"epochs\.csv, which no longer has as many"):
            logger.load_state_dict(checkpoint | {"epochs": 10**6})
        with pytest.raises(ValueError, match=r"losses\.csv, which no longer has as many"):
            logger.load_state_dict(checkpoint | {"offset": 10**6})

        assert (text(tmp_path), (tmp_path / "losses.csv").read_text()) == before


# Sent later.


def record(path: Path, epochs: range = range(3)) -> Path:
    with CsvLogger(path) as logger:
        train(logger, epochs)
    return logger.path


def test_sync_sends_each_epoch_once_behind_its_last_row(tmp_path: Path) -> None:
    run, memory = record(tmp_path), MemoryLogger()

    summary = sync(run, memory)

    assert summary == Summary("memory", rows=18, numbers=21, first_step=0, last_step=14)
    assert [step for step, _, _ in memory.rows][:7] == [0, 1, 2, 3, 4, 4, 5]
    assert epochs_of(memory) == expected(range(3))
    assert sync(run, memory) == Summary("memory")
    assert len(memory.rows) == 18


def test_sync_gives_means_and_samples_to_a_logger_that_knows_epochs(tmp_path: Path) -> None:
    knowing, foreign = Knowing(), Foreign()
    with CsvLogger(tmp_path) as logger:
        logger.log_epoch(3, MEANS, step=41)

    sync(tmp_path, knowing)
    sync(tmp_path, foreign)

    assert knowing.epochs == [(3, 41, MEANS)]
    assert foreign.rows == [(41, ROW)]


def test_sync_sends_what_is_new_also_of_the_same_epoch(tmp_path: Path) -> None:
    memory = MemoryLogger()
    with CsvLogger(tmp_path) as logger:
        logger.log_epoch(0, {"G": (0.5, 8)}, step=4)
        sync(tmp_path, memory)
        logger.log_epoch(0, {"D": (0.25, 8)}, step=4)
        logger.log_epoch(1, {"G": (0.125, 8)}, step=9)
        sync(tmp_path, memory)

    assert memory["epoch_loss/G"] == [(4, 0.5), (9, 0.125)]
    assert memory["epoch_loss/D"] == [(4, 0.25)]


def test_sync_after_a_checkpoint_sends_the_epochs_that_became_others(tmp_path: Path) -> None:
    memory = MemoryLogger()
    with CsvLogger(tmp_path) as logger:
        train(logger, range(2))
        checkpoint = logger.state_dict()
        logger.log_epoch(2, {"G": (1.0, 8)}, step=14)
        sync(tmp_path, memory)
        logger.load_state_dict(checkpoint)
        logger.log_epoch(2, {"G": (2.0, 8)}, step=14)
        sync(tmp_path, memory)

    assert epochs_of(memory) == [*expected(range(2)), (2, 14, 1.0), (2, 14, 2.0)]


def test_sync_sends_no_epoch_that_a_background_delivered(tmp_path: Path) -> None:
    memory, renamed = MemoryLogger(), MemoryLogger()
    rename = Rename("{loss}_{stat}", renamed)
    with Tee(CsvLogger(tmp_path), Background(memory)) as tee:
        train(tee, range(2))
    with Tee(CsvLogger(tmp_path / "2"), Background(rename)) as tee:
        train(tee, range(2))

    assert sync(tmp_path, memory).rows == 0
    assert sync(tmp_path / "2", rename).rows == 0
    assert epochs_of(memory) == expected(range(2))
    assert len(renamed["G_epoch_loss"]) == 2


def test_sync_sends_what_a_background_could_not_deliver_once(tmp_path: Path) -> None:
    fickle = Fickle()
    with (
        pytest.warns(RuntimeWarning, match="takes no rows"),
        Tee(CsvLogger(tmp_path), Background(fickle)) as tee,
    ):
        train(tee, range(2))
    with CsvLogger(tmp_path, resume=True) as alone:
        train(alone, range(2, 3))
    fickle.is_away = False

    assert sync(tmp_path, fickle).rows == 18
    assert sync(tmp_path, fickle).rows == 0
    assert epochs_of(fickle) == expected(range(3))


def test_tensorboard_gets_the_mean_at_the_last_step(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the tensorboard extra")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    from loss_loggers import TensorBoardLogger

    run = record(tmp_path / "gan")
    with SummaryWriter(str(tmp_path / "events")) as writer:
        live: Logger = TensorBoardLogger(writer)
        sync(run, live)

    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("epoch_loss/G")] == [
        (step, pytest.approx(mean)) for _, step, mean in expected(range(3))
    ]
