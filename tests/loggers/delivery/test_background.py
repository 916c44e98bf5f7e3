from __future__ import annotations

import gc
import json
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from loss_loggers import (
    Background,
    BaseLogger,
    CsvLogger,
    Every,
    MemoryLogger,
    Rename,
    Tee,
    row_time,
    sync,
)

from .http_backend import until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.loggers.conftest import Caught, Script

    from loss_loggers import Logger, Row

FAST = 0.02


class Moody(MemoryLogger):
    """A backend that is away for as long as `is_away`, and refuses rows with a `bad` metric."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self.calls: list[int] = []
        self.moments: list[float] = []
        self.threads: set[str] = set()

    def log_rows(self, rows: Sequence[Row]) -> None:
        self.moments.append(time.monotonic())
        self.calls.append(len(rows))
        self.threads.add(threading.current_thread().name)
        if self.is_away:
            raise ConnectionError
        if any("bad" in metrics for _, _, metrics in rows):
            msg = "bad is no name"
            raise ValueError(msg)
        super().log_rows(rows)

    @property
    def steps(self) -> list[int]:
        return [step for step, _, _ in self.rows]


class Hung(BaseLogger):
    """A backend whose first call does not return until it is told to."""

    def __init__(self) -> None:
        self.may_return = threading.Event()
        self.is_called = threading.Event()
        self.steps: list[int] = []

    def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
        self.is_called.set()
        self.may_return.wait(300)
        self.steps.append(step)


def send(logger: Logger, steps: range) -> None:
    for step in steps:
        logger.log_metrics({"loss/G": step / 3}, step=step)


def kept(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_rows_arrive_in_order_and_in_batches() -> None:
    moody = Moody()

    with Background(moody) as logger:
        send(logger, range(1000))

    assert moody["loss/G"] == [(step, step / 3) for step in range(1000)]
    assert max(moody.calls) == 100
    assert (logger.delivered, logger.pending, logger.failed) == (1000, 0, 0)


def test_they_are_delivered_by_one_other_thread() -> None:
    moody = Moody()

    with Background(moody, interval=FAST) as logger:
        for _ in range(3):
            moody.rows.clear()
            send(logger, range(1))
            until(lambda: moody.rows)

    assert moody.threads == {"loss_loggers.Background"}


def test_nobody_has_to_ask_for_them() -> None:
    moody = Moody()
    logger = Background(moody, interval=FAST)

    send(logger, range(3))

    until(lambda: moody.steps == [0, 1, 2])
    logger.close()


def test_many_rows_are_not_kept_waiting(tmp_path: Path) -> None:
    moody = Moody()
    logger = Background(moody, interval=60, max_rows=100, undelivered=tmp_path / "rows.jsonl")

    send(logger, range(60))

    until(lambda: len(moody.rows) >= 50)
    logger.close()
    assert logger.failed == 0


def test_a_row_has_the_time_at_which_it_was_handed_over() -> None:
    memory = MemoryLogger()

    with Background(memory) as logger:
        before = row_time()
        send(logger, range(1))
        after = row_time()

    assert before <= memory.rows[0][1] <= after


def test_a_batch_keeps_its_times() -> None:
    memory = MemoryLogger()
    rows = [(0, 12.5, {"loss/G": 1.0}), (1, 12.5, {"loss/G": 2.0}), (2, 3.5, {"loss/G": 2.0})]

    with Background(memory) as logger:
        logger.log_rows(rows)

    assert memory.rows == rows


def test_a_row_that_the_caller_uses_again_is_delivered_as_it_was() -> None:
    memory = MemoryLogger()
    row = {"loss/G": 0.5}

    with Background(memory) as logger:
        logger.log_metrics(row, step=0)
        row["loss/G"] = 9.0

    assert memory["loss/G"] == [(0, 0.5)]


def test_tensors_and_arrays_become_numbers_before_they_can_change() -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    memory = MemoryLogger()
    tensor, array, step = torch.tensor(0.1), np.array(0.1), np.array(7)

    with Background(memory) as logger:
        logger.log_metrics(
            {"t": tensor, "a": array, "flag": True, "word": "1"},
            step=step,  # type: ignore[arg-type]
        )
        for number in (tensor, array, step):
            number += 1

    (row,) = memory.rows
    assert row[0] == 7
    assert row[2] == {"t": float(torch.tensor(0.1)), "a": 0.1, "flag": True, "word": "1"}
    assert [type(value) for value in row[2].values()] == [float, float, bool, str]


def test_hyperparameters_come_in_their_turn() -> None:
    events: list[object] = []

    class Ordered(BaseLogger):
        def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
            events.append(step)

        def log_hyperparams(self, hyperparams: dict[str, Any]) -> None:
            events.append(hyperparams)

    settings = {"losses": ["G"]}

    with Background(Ordered()) as logger:
        send(logger, range(1))
        logger.log_hyperparams(settings)
        settings["losses"].append("D")
        send(logger, range(1, 2))

    assert events == [0, {"losses": ["G"]}, 1]
    assert logger.delivered == 2


def test_a_logger_without_hyperparameters_gets_none(tmp_path: Path) -> None:
    hung = Hung()
    hung.may_return.set()

    with Background(hung, undelivered=tmp_path / "rows") as logger:
        logger.log_hyperparams({"losses": ["G"]})
        send(logger, range(1))

    assert hung.steps == [0]
    assert not (tmp_path / "rows").exists()


def test_flush_waits_for_the_rows() -> None:
    moody = Moody()
    logger = Background(moody, interval=60)
    send(logger, range(5))

    assert logger.flush()

    assert moody.steps == [0, 1, 2, 3, 4]
    logger.close()


def test_flush_with_nothing_to_do_returns() -> None:
    logger = Background(MemoryLogger())

    assert logger.flush()
    logger.close()
    assert logger.flush()


def test_flush_does_not_wait_for_a_backend_that_is_down() -> None:
    moody = Moody()
    moody.is_away = True
    logger = Background(moody, interval=60, timeout=30)
    send(logger, range(5))

    start = time.monotonic()
    assert not logger.flush()

    assert time.monotonic() - start < 25
    moody.is_away = False
    logger.close()
    assert moody.steps == [0, 1, 2, 3, 4]


def test_rows_of_a_short_disturbance_arrive_without_a_word() -> None:
    moody = Moody()
    moody.is_away = True
    logger = Background(moody, interval=0.2)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        send(logger, range(3))
        until(lambda: moody.calls)
        moody.is_away = False
        send(logger, range(3, 6))
        until(lambda: len(moody.rows) == 6)
        logger.close()

    assert sorted(moody.steps) == [0, 1, 2, 3, 4, 5]
    assert logger.failed == 0


@pytest.mark.parametrize(
    ("error", "calls"),
    [*((ConnectionResetError, calls) for calls in range(1, 6)), (TimeoutError, 3), (ValueError, 2)],
)
def test_a_row_that_failed_before_the_backend_came_back_is_not_taken_for_a_refused_one(
    tmp_path: Path, error: type[Exception], calls: int
) -> None:
    class ComesBack(MemoryLogger):
        left = calls

        def log_rows(self, rows: Sequence[Row]) -> None:
            self.left -= 1
            if self.left >= 0:
                raise error
            super().log_rows(rows)

    backend = ComesBack()
    with Background(backend, interval=FAST, undelivered=tmp_path / "rows.jsonl") as logger:
        send(logger, range(12))
        until(lambda: not logger.pending)

    assert [step for step, _, _ in backend.rows] == list(range(12))
    assert (logger.delivered, logger.failed) == (12, 0)
    assert not (tmp_path / "rows.jsonl").exists()


def test_a_backend_that_drops_the_connection_at_a_large_batch_gets_its_rows_one_by_one() -> None:
    class Small(MemoryLogger):
        def log_rows(self, rows: Sequence[Row]) -> None:
            if len(rows) > 50:
                raise ConnectionResetError
            super().log_rows(rows)

    small = Small()
    with Background(small, interval=FAST) as logger:
        send(logger, range(300))

    assert [step for step, _, _ in small.rows] == list(range(300))


@pytest.mark.filterwarnings("ignore:.*did not take all rows in time")
def test_a_logger_is_closed_however_little_time_there_is(tmp_path: Path) -> None:
    class Closing(MemoryLogger):
        closed = 0

        def close(self, error: BaseException | None = None) -> None:
            self.closed += 1

    closing = [Closing() for _ in range(30)]
    for number, one in enumerate(closing):
        with Tee(CsvLogger(tmp_path / str(number)), Background(one, timeout=0)) as tee:
            send(tee, range(30))

    until(lambda: all(one.closed == 1 for one in closing))


def test_settings_that_a_logger_does_not_take_say_nothing_of_its_backend(
    tmp_path: Path, caught: Caught
) -> None:
    class Away(Foreign):
        def log_hyperparams(self, hyperparams: dict[str, Any]) -> None:
            raise NotImplementedError

    for backend in (Foreign(), Away()):
        with Background(backend, interval=FAST, undelivered=tmp_path / "rows.jsonl") as logger:
            send(logger, range(3))
            until(lambda: len(caught) == 1)
            logger.log_hyperparams({"losses": ["G"]})
            assert not logger.flush()
            backend.is_away = False
            assert logger.flush()

        assert backend.steps == [0, 1, 2]
        assert logger.failed == 0
        assert len(caught) == 2  # that it was down, and is back
        caught.clear()


class Foreign:
    """A logger of somebody else, whose backend is away."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.is_away = True

    def log_metrics(self, metrics: dict[str, float], /, *, step: int) -> None:
        if self.is_away:
            raise OSError
        self.steps.append(step)


def test_one_warning_when_it_is_down_and_one_when_it_is_back(
    tmp_path: Path, caught: Caught
) -> None:
    moody = Moody()
    moody.is_away = True
    logger = Background(moody, interval=FAST, undelivered=tmp_path / "rows.jsonl")

    send(logger, range(3))
    until(lambda: caught)
    send(logger, range(3, 6))
    until(lambda: len(moody.calls) > 4)
    moody.is_away = False
    until(lambda: not logger.pending)
    logger.close()

    assert sorted(moody.steps) == [0, 1, 2, 3, 4, 5]
    down, back = (str(warning.message) for warning in caught)
    assert "takes no rows (ConnectionError)" in down
    assert str(tmp_path / "rows.jsonl") in down
    assert back == "Moody takes rows again"
    assert not (tmp_path / "rows.jsonl").exists()


def test_attempts_become_rare_while_it_is_down(caught: Caught) -> None:
    moody = Moody()
    moody.is_away = True
    logger = Background(moody, interval=FAST)

    send(logger, range(1))
    until(lambda: len(moody.calls) >= 6)
    passed = moody.moments[5] - moody.moments[0]
    moody.is_away = False
    logger.close()

    assert passed > 30 * FAST  # as 1 + 2 + 4 + 8 + 16 of them
    assert len(caught) == 2


def test_a_row_that_is_refused_holds_up_no_other(tmp_path: Path, caught: Caught) -> None:
    moody = Moody()
    logger = Background(moody, interval=FAST, undelivered=tmp_path / "rows.jsonl")

    for step in range(250):
        name = "bad" if step in (0, 70, 71, 200) else "loss/G"
        logger.log_metrics({name: 1.0}, step=step)
    logger.flush()
    send(logger, range(250, 260))
    logger.close()

    (message,) = caught
    assert "refused a row (ValueError: bad is no name)" in str(message.message)
    assert sorted(kept(tmp_path / "rows.jsonl") + moody.steps) == list(range(260))
    assert moody.steps == sorted(moody.steps)
    assert kept(tmp_path / "rows.jsonl")[:1] == [0]
    assert (logger.delivered, logger.failed, logger.pending) == (256, 4, 0)


def test_a_full_queue_puts_its_oldest_rows_into_the_file(tmp_path: Path, caught: Caught) -> None:
    hung = Hung()
    logger = Background(hung, max_rows=10, interval=FAST, undelivered=tmp_path / "rows.jsonl")

    send(logger, range(1))
    assert hung.is_called.wait(300)
    send(logger, range(1, 31))
    assert kept(tmp_path / "rows.jsonl") == list(range(1, 21))
    assert logger.pending == 11
    hung.may_return.set()
    logger.close()

    assert hung.steps == [0, *range(21, 31)]
    assert (logger.delivered, logger.failed) == (11, 20)
    (message,) = caught
    assert "as fast as they come" in str(message.message)


def test_what_does_not_arrive_in_time_goes_to_the_file(tmp_path: Path) -> None:
    hung = Hung()
    logger = Background(hung, interval=FAST, timeout=0.2, undelivered=tmp_path / "rows.jsonl")
    send(logger, range(5))
    assert hung.is_called.wait(300)

    start = time.monotonic()
    with pytest.warns(RuntimeWarning, match="in time") as caught:
        logger.close()

    assert time.monotonic() - start < 60
    assert len(caught) == 1
    assert kept(tmp_path / "rows.jsonl") == [0, 1, 2, 3, 4]
    assert (logger.delivered, logger.failed, logger.pending) == (0, 5, 0)
    hung.may_return.set()


def test_a_number_of_the_file_is_exact(tmp_path: Path) -> None:
    hung = Hung()
    logger = Background(hung, timeout=0, undelivered=tmp_path / "rows.jsonl")
    row = {"loss/Générateur": 0.1 + 0.2, "a": np.float32(0.1), "n": 2**60, "nan": float("nan")}

    logger.log_rows([(7, 1700000000.123456, row)])
    with pytest.warns(RuntimeWarning, match="goes to"):
        logger.close()

    (line,) = map(json.loads, (tmp_path / "rows.jsonl").read_text().splitlines())
    assert (line["step"], line["time"]) == (7, 1700000000.123456)
    assert np.isnan(line["metrics"].pop("nan"))
    assert line["metrics"] == {"loss/Générateur": 0.1 + 0.2, "a": np.float32(0.1), "n": 2**60}
    hung.may_return.set()


def test_rows_after_the_end_go_to_the_file(tmp_path: Path) -> None:
    moody = Moody()
    logger = Background(moody, undelivered=tmp_path / "rows.jsonl")
    send(logger, range(2))
    logger.close()
    logger.close()

    with pytest.warns(RuntimeWarning, match="Moody was closed") as caught:
        send(logger, range(2, 5))

    assert len(caught) == 1
    assert moody.steps == [0, 1]
    assert kept(tmp_path / "rows.jsonl") == [2, 3, 4]
    assert logger.failed == 3


def test_a_background_that_nobody_holds_delivers_what_it_has() -> None:
    moody = Moody()
    logger = Background(moody, interval=60)
    send(logger, range(3))

    del logger
    gc.collect()

    until(lambda: moody.steps == [0, 1, 2])


def test_the_logger_is_closed_after_its_last_row_and_told_of_an_error(tmp_path: Path) -> None:
    record = CsvLogger(tmp_path / "gan")

    logger = Background(record)
    send(logger, range(3))

    with pytest.raises(ZeroDivisionError), logger:
        raise ZeroDivisionError

    assert (tmp_path / "gan/losses.csv").read_text().count("\n") == 4
    assert json.loads((tmp_path / "gan/run.json").read_text())["state"] == "crashed"


# With others.


def test_in_a_tee_it_keeps_what_fails_in_the_folder_of_the_record(tmp_path: Path) -> None:
    moody = Moody()
    moody.is_away = True
    background = Background(moody)

    tee = Tee(CsvLogger(tmp_path / "gan"), Rename("{loss}_{stat}", background))
    send(tee, range(3))

    with pytest.warns(RuntimeWarning, match="Moody takes no rows"):
        tee.close()

    assert background.undelivered == (tmp_path / "gan/moody/undelivered.jsonl",)
    assert kept(*background.undelivered) == [0, 1, 2]
    assert '"G_loss":0.0' in background.undelivered[0].read_text()
    assert tee.failed == 3


def test_a_place_that_was_chosen_stays(tmp_path: Path) -> None:
    background = Background(MemoryLogger(), undelivered=tmp_path / "rows.jsonl")

    Tee(CsvLogger(tmp_path / "gan"), background).close()

    assert background.undelivered == (tmp_path / "rows.jsonl",)


def test_alone_it_keeps_what_fails_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert Background(MemoryLogger()).undelivered == (tmp_path / "memory.undelivered.jsonl",)


@pytest.mark.parametrize("name", [None, "rows.jsonl"])
def test_of_two_at_a_time_each_has_a_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caught: Caught, name: str | None
) -> None:
    """So none cuts off rows of another where its own find no room on the disk."""
    monkeypatch.chdir(tmp_path)
    moody = Moody()
    moody.is_away = True
    first, second = (Background(moody, undelivered=name, max_rows=1, interval=60) for _ in "ab")
    (one,), (other,) = first.undelivered, second.undelivered
    for step in range(10):
        send(first, range(step, step + 1))
        send(second, range(100 + step, 101 + step))
    first.close(timeout=0)
    second.close(timeout=0)

    assert other == one.with_stem(f"{one.stem}-2")
    assert (first.undelivered, second.undelivered) == ((one,), (other,))
    assert sorted(kept(one)) == list(range(10))
    assert sorted(kept(other)) == list(range(100, 110))
    told = sorted(str(one.message).partition(" goes to ")[2] for one in caught)
    assert told == sorted(f"{path}, for sync" for path in (one, other))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([one.name, other.name])
    moody.is_away = False
    assert [sync(path, moody).rows for path in (one, other)] == [10, 10]


def test_it_shares_no_file_with_another_process(tmp_path: Path, script: Script) -> None:
    code = (
        "import os, sys; os.chdir(sys.argv[1])\n"
        "from loss_loggers import Background, MemoryLogger\n"
        "print(Background(MemoryLogger(), undelivered='rows.jsonl').undelivered[0].name)\n"
    )
    background = Background(MemoryLogger(), undelivered=tmp_path / "rows.jsonl")

    while_it_is_held = background.undelivered, script(code, tmp_path).stdout
    background.close()

    assert while_it_is_held == ((tmp_path / "rows.jsonl",), "rows-2.jsonl\n")
    assert script(code, tmp_path).stdout == "rows.jsonl\n"
    assert not [*tmp_path.iterdir()]


def test_each_logger_of_a_tee_inside_has_its_own_pace(tmp_path: Path) -> None:
    hung, memory = Hung(), MemoryLogger()
    logger = Background(Tee(hung, memory), timeout=0.2, interval=FAST)
    Tee(CsvLogger(tmp_path / "gan"), logger)
    send(logger, range(3))

    until(lambda: len(memory.rows) == 3)
    with pytest.warns(RuntimeWarning, match="Hung did not take all rows in time"):
        logger.close()

    assert (logger.delivered, logger.failed) == (3, 3)
    assert kept(tmp_path / "gan/hung/undelivered.jsonl") == [0, 1, 2]
    hung.may_return.set()


def test_every_and_rename_inside_are_not_disturbed_by_failures() -> None:
    moody = Moody()
    moody.is_away = True
    logger = Background(Every(2, Rename("{loss}_{stat}", moody), reduce="mean"), interval=FAST)

    send(logger, range(4))
    until(lambda: len(moody.calls) > 1)
    moody.is_away = False
    send(logger, range(4, 6))
    logger.close()

    assert [step for step, _ in moody["G_loss"]] == [0, 2, 4, 5]
    assert moody.values("G_loss") == pytest.approx([0.0, 0.5, 3.5 / 3, 5 / 3])


def test_flush_leaves_the_steps_of_every_together() -> None:
    memory = MemoryLogger()

    with Background(Every(4, memory, reduce="mean")) as logger:
        for step in range(1, 5):
            send(logger, range(step, step + 1))
            logger.flush()

    assert [step for step, _ in memory["loss/G"]] == [4]


def test_every_outside_thins_what_waits() -> None:
    memory = MemoryLogger()

    with Every(2, Background(memory), reduce="mean") as logger:
        send(logger, range(4))

    assert memory["loss/G"] == [(0, 0.0), (2, 0.5), (3, 1.0)]


def test_a_background_in_a_background_is_one() -> None:
    memory = MemoryLogger()

    with Background(Tee(Background(memory))) as logger:
        send(logger, range(3))

    assert memory.values("loss/G") == [0.0, 1 / 3, 2 / 3]
    assert logger.delivered == 3


def test_a_logger_that_lost_rows_by_itself_has_them_in_the_file(tmp_path: Path) -> None:
    class Ended(MemoryLogger):
        lost = 0

        @property
        def failed(self) -> int:
            return self.lost

        def log_rows(self, rows: Sequence[Row]) -> None:
            if self.lost == 0:
                warnings.warn("the run has ended", RuntimeWarning, stacklevel=2)
            self.lost += len(rows)

    logger = Background(Ended(), undelivered=tmp_path / "rows.jsonl")
    send(logger, range(3))

    with pytest.warns(RuntimeWarning, match="the run has ended") as caught:
        logger.close()

    assert len(caught) == 1
    assert kept(tmp_path / "rows.jsonl") == [0, 1, 2]
    assert (logger.delivered, logger.failed) == (0, 3)


# What it does not take.


def test_a_logger_that_must_stay_on_its_thread_is_an_error() -> None:
    class Stays(MemoryLogger):
        must_stay_on_thread = "it counts its calls"

    with pytest.raises(TypeError, match=r"Stays cannot .*: it counts its calls\. .* Every\(10, "):
        Background(Rename("{loss}_{stat}", Stays()))


def test_a_comet_experiment_is_told_to_use_every(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMET_DISABLE_AUTO_LOGGING", "1")
    comet_ml = pytest.importorskip("comet_ml", reason="needs the comet extra")
    experiment = comet_ml.OfflineExperiment(
        offline_directory=str(tmp_path), display_summary_level=0
    )

    with pytest.raises(TypeError, match=r"step of a Comet experiment .* Every\(10, logger\)"):
        Background(experiment)

    experiment.end()


def test_the_mlflow_module_is_told_to_name_the_run() -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs the mlflow extra")

    with pytest.raises(TypeError, match=r"mlflow cannot .* Pass MLflowLogger\(run\)"):
        Background(mlflow)


def test_one_file_cannot_keep_the_rows_of_two_loggers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a Background for each"):
        Background([MemoryLogger(), MemoryLogger()], undelivered=tmp_path / "rows.jsonl")


@pytest.mark.parametrize("wrong", [{"max_rows": 0}, {"interval": 0.0}, {"interval": 61.0}])
def test_impossible_settings_are_errors(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r" must be .*, got "):
        Background(MemoryLogger(), **wrong)
