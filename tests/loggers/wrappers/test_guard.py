from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from loss_loggers import BaseLogger, Guard, MemoryLogger, Pending

if TYPE_CHECKING:
    from tests.loggers.conftest import Caught


class Broken:
    """A logger that fails, after a while if it is told to."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.calls = 0

    def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
        self.calls += 1
        time.sleep(self.seconds)
        msg = f"step {step} is lost"
        raise ConnectionError(msg)


def send(guard: Guard, rows: int) -> None:
    for step in range(rows):
        guard.log_metrics({"loss/G": 1.0}, step=step)


def test_a_failure_is_warned_about_once_and_counted() -> None:
    guard = Guard(Broken())

    with pytest.warns(RuntimeWarning, match=r"Broken failed \(ConnectionError: step 0") as caught:
        send(guard, rows=3)

    assert len(caught) == 1
    assert guard.failed + guard.withheld == 3
    assert isinstance(guard.last_error, ConnectionError)


def test_a_slow_failure_is_not_repeated_at_every_step() -> None:
    broken = Broken(seconds=0.5)  # so it gets no row for 5 seconds
    guard = Guard(broken)

    with pytest.warns(RuntimeWarning, match="Training goes on"):
        send(guard, rows=100)

    assert broken.calls == guard.failed == 1
    assert guard.withheld == 99


def test_a_logger_that_recovers_gets_rows_again() -> None:
    class Unlucky(MemoryLogger):
        def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
            if step == 0:
                raise OSError
            super().log_metrics(metrics, step=step)

    memory = Unlucky()
    guard = Guard(memory)

    with pytest.warns(RuntimeWarning, match="Unlucky failed"):
        guard.log_metrics({"loss/G": 1.0}, step=0)
    while not memory.rows:  # it is kept waiting for ten times as long as it took to fail
        guard.log_metrics({"loss/G": 2.0}, step=1)

    assert memory["loss/G"] == [(1, 2.0)]


@pytest.mark.parametrize(
    "error",
    [asyncio.CancelledError(), SystemExit(1), GeneratorExit(), BaseException("odd")],
    ids=repr,
)
def test_no_error_of_a_logger_stops_training(error: BaseException, caught: Caught) -> None:
    """Whichever of its methods raises it."""

    class GivesUp(MemoryLogger):
        def log_metrics(self, *_: Any, **__: Any) -> None:
            raise error

        log_rows = log_pending = log_epoch = log_hyperparams = close = log_metrics

    guard, row = Guard(GivesUp()), (0, 0.0, {"loss/G": 1.0})

    guard.log_hyperparams({"losses": ["G"]})
    send(guard, rows=10)
    guard.log_rows([row, row])
    guard.log_pending(Pending([row]))
    guard.log_epoch(0, {"G": (1.0, 1)}, step=0)
    guard.close()

    (warning,) = caught
    assert f"GivesUp failed ({type(error).__name__}" in str(warning.message)
    assert guard.failed + guard.withheld == 14


def test_an_error_without_words_stops_nothing() -> None:
    class Speechless(Exception):  # noqa: N818
        def __str__(self) -> str:
            raise AttributeError

    class Mute(MemoryLogger):
        def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
            raise Speechless

    with pytest.warns(RuntimeWarning, match=r"Mute failed \(Speechless\)\."):
        send(Guard(Mute()), rows=1)


class TakesNotes:
    def handle(self, *_: object) -> None:
        raise SystemExit(143)

    __call__ = handle


def exits(*_: object) -> None:
    raise SystemExit(143)


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs a system with alarms")
@pytest.mark.parametrize("handler", [exits, TakesNotes().handle, TakesNotes()])
def test_what_a_signal_handler_raises_is_the_users(handler: Any) -> None:
    """As that of SIGTERM does which ends a training that is to make room for another."""

    class Slow(MemoryLogger):
        def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            time.sleep(600)

    before = signal.signal(signal.SIGALRM, handler)

    try:
        with pytest.raises(SystemExit):
            send(Guard(Slow()), rows=1)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_ctrl_c_is_no_failure() -> None:
    class Interrupted(MemoryLogger):
        def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
            raise KeyboardInterrupt

    guard = Guard(Interrupted())

    with pytest.raises(KeyboardInterrupt):
        guard.log_metrics({"loss/G": 1.0}, step=0)


def test_a_batch_keeps_its_times_where_the_logger_takes_batches() -> None:
    memory = MemoryLogger()

    Guard(memory).log_rows([(0, 12.5, {"loss/G": 1.0})])

    assert memory.rows == [(0, 12.5, {"loss/G": 1.0})]


def test_a_batch_goes_row_by_row_to_a_logger_that_takes_none() -> None:
    class OneByOne:
        def __init__(self) -> None:
            self.steps: list[int] = []

        def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
            self.steps.append(step)

    logger = OneByOne()

    Guard(logger).log_rows([(0, 0.0, {"loss/G": 1.0}), (1, 0.0, {"loss/G": 2.0})])

    assert logger.steps == [0, 1]


def test_a_failed_batch_counts_each_of_its_rows() -> None:
    class NoBatches(MemoryLogger):
        def log_rows(self, rows: object) -> None:
            raise OSError

    guard = Guard(NoBatches())

    with pytest.warns(RuntimeWarning, match="NoBatches failed"):
        guard.log_rows([(0, 0.0, {}), (1, 0.0, {})])

    assert guard.failed == 2


def test_hyperparameters_go_to_a_logger_that_records_them() -> None:
    memory = MemoryLogger()

    Guard(memory).log_hyperparams({"losses": ["G"]})
    Guard(Broken()).log_hyperparams({"losses": ["G"]})

    assert memory.hyperparameters == {"losses": ["G"]}


def test_a_logger_that_refuses_hyperparameters_gets_its_rows() -> None:
    class Choosy(MemoryLogger):
        def log_hyperparams(self, hyperparams: dict[str, Any]) -> None:
            time.sleep(0.01)
            raise ValueError

    memory = Choosy()
    guard = Guard(memory)

    with pytest.warns(RuntimeWarning, match="Choosy failed"):
        guard.log_hyperparams({"losses": ["G"]})
    guard.log_metrics({"loss/G": 1.0}, step=0)

    assert memory["loss/G"] == [(0, 1.0)]
    assert guard.failed == guard.withheld == 0


def test_a_logger_that_records_no_hyperparameters_may_say_so(caught: Caught) -> None:
    class Theirs(MemoryLogger):
        def log_hyperparams(self, hyperparams: dict[str, Any]) -> None:
            raise NotImplementedError

    guard = Guard(Theirs())
    guard.log_hyperparams({"losses": ["G"]})

    assert guard.last_error is None
    assert caught == []


def test_only_a_base_logger_is_closed() -> None:
    closed: list[object] = []

    class Ours(BaseLogger):
        def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None: ...

        def close(self, error: BaseException | None = None) -> None:
            closed.append(self)

    class Theirs:
        def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None: ...

        def close(self) -> None:
            closed.append(self)

    ours = Ours()
    for logger in (ours, Theirs()):
        Guard(logger).close()

    assert closed == [ours]


def test_a_failure_to_close_is_a_warning() -> None:
    class Stuck(MemoryLogger):
        def close(self, error: BaseException | None = None) -> None:
            raise OSError

    with pytest.warns(RuntimeWarning, match="Stuck failed"):
        Guard(Stuck()).close()


def test_a_healthy_logger_warns_of_nothing(caught: Caught) -> None:
    Guard(MemoryLogger()).log_metrics({"loss/G": 1.0}, step=0)

    assert caught == []
