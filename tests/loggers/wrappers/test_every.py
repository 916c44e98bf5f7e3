from __future__ import annotations

import gc
import math
import pickle
import sys
import threading
from typing import Any

import pytest
from tests.loggers.delivery.http_backend import until

from loss_loggers import Background, Every, MemoryLogger, Tee


def rows(logger: MemoryLogger) -> list[tuple[int, dict[str, Any]]]:
    return [(step, metrics) for step, _, metrics in logger.rows]


def test_the_last_rows_are_sent_at_once() -> None:
    memory = MemoryLogger()
    logger = Every(10, memory)

    for step in range(21):
        logger.log_metrics({"loss/G": float(step)}, step=step)

    assert memory["loss/G"] == [(0, 0.0), (10, 10.0), (20, 20.0)]


def test_the_mean_covers_the_steps_that_end_there() -> None:
    memory = MemoryLogger()

    with Every(2, memory, reduce="mean", extremes=True) as logger:
        for step, loss in enumerate([1.0, 2.0, 400.0, 3.0]):
            logger.log_metrics({"loss/G": loss}, step=step)

    assert memory["loss/G"] == [(0, 1.0), (2, 201.0), (3, 3.0)]
    assert memory.values("loss_min/G") == [1.0, 2.0, 3.0]
    assert memory.values("loss_max/G") == [1.0, 400.0, 3.0]


def test_trackers_share_it_without_disturbing_each_other() -> None:
    memory = MemoryLogger()
    logger = Every(4, memory)

    for step in range(9):
        logger.log_metrics({"loss/G": float(step)}, step=step)
        logger.log_metrics({"loss/D": -float(step)}, step=step)

    assert memory["loss/G"] == [(0, 0.0), (4, 4.0), (8, 8.0)]
    assert memory["loss/D"] == [(0, 0.0), (4, -4.0), (8, -8.0)]


def test_trackers_at_other_steps_are_thinned_each_at_its_own() -> None:
    memory = MemoryLogger()

    with Every(10, memory, reduce="mean") as logger:
        for step in range(100):
            logger.log_metrics({"loss/D": 2.0}, step=step)
            if step % 5 == 0:
                logger.log_metrics({"loss/G": 1.0}, step=step // 5)

    assert [step for step, _ in memory["loss/D"]] == [*range(0, 91, 10), 99]
    assert memory["loss/G"] == [(0, 1.0), (10, 1.0), (19, 1.0)]


@pytest.mark.parametrize("reduce", ["last", "mean"])
def test_steps_may_start_anywhere_and_skip_the_multiples(reduce: Any) -> None:
    memory = MemoryLogger()

    with Every(10, memory, reduce=reduce) as logger:
        for step in range(1007, 1047, 9):
            logger.log_metrics({"loss/G": 1.0}, step=step)

    assert [step for step, _ in memory["loss/G"]] == [1007, 1016, 1025, 1034, 1043]


def test_rows_that_repeat_a_step_count_towards_its_mean() -> None:
    memory = MemoryLogger()

    with Every(2, memory, reduce="mean") as logger:
        for step, loss in [(1, 1.0), (1, 2.0), (2, 3.0), (2, 6.0), (3, 9.0)]:
            logger.log_metrics({"loss/G": loss}, step=step)

    assert memory["loss/G"] == [(2, 3.0), (3, 9.0)]


@pytest.mark.parametrize(
    ("losses", "mean"),
    [
        ([sys.float_info.max] * 3, sys.float_info.max),
        ([1e308, 1.5e308, -1e308, 1.1e308], 0.65e308),
        ([1.0, math.inf, 2.0], math.inf),
        ([-math.inf, 1.0], -math.inf),
        ([math.inf, -math.inf], math.nan),
        ([1e308, 1e308, math.nan, 1.0], math.nan),
    ],
)
def test_a_mean_is_infinite_only_if_a_loss_was(losses: list[float], mean: float) -> None:
    memory = MemoryLogger()

    with Every(9, memory, reduce="mean") as logger:
        for step, loss in enumerate(losses, 1):
            logger.log_metrics({"loss/G": loss}, step=step)

    assert memory.values("loss/G") == [pytest.approx(mean, nan_ok=True)]


def test_a_metric_that_comes_rarely_is_in_the_next_row_of_its_loss() -> None:
    memory = MemoryLogger()
    logger = Every(10, memory)

    for step in range(1, 11):
        block = {"block_mean/G": 7.0} if step == 5 else {}
        logger.log_metrics({"loss/G": float(step), **block}, step=step)

    assert rows(memory) == [(10, {"loss/G": 10.0, "block_mean/G": 7.0})]


def test_a_nan_in_the_window_shows_in_its_mean_and_not_in_its_extremes() -> None:
    memory = MemoryLogger()

    with Every(4, memory, reduce="mean", extremes=True) as logger:
        for step, loss in [(1, 3.0), (2, math.nan), (3, 1.0)]:
            logger.log_metrics({"loss/G": loss}, step=step)

    assert math.isnan(memory.values("loss/G")[0])
    assert memory.values("loss_min/G") == [1.0]
    assert memory.values("loss_max/G") == [3.0]


def test_nothing_but_nan_has_no_extremes() -> None:
    memory = MemoryLogger()

    with Every(4, memory, extremes=True) as logger:
        logger.log_metrics({"loss/G": math.nan, "lr": math.inf}, step=1)

    assert [math.isnan(value) for value in memory.values("loss_min/G")] == [True]
    assert memory.values("lr_max") == [math.inf]


def test_rows_of_a_batch_keep_their_times() -> None:
    memory = MemoryLogger()

    with Every(2, memory, reduce="mean") as logger:
        logger.log_rows([(step, step / 4, {"loss/G": float(step)}) for step in range(1, 5)])

    assert memory.rows == [(2, 0.5, {"loss/G": 1.5}), (4, 1.0, {"loss/G": 3.5})]


def test_losses_of_one_row_stay_in_one_row() -> None:
    memory = MemoryLogger()

    with Every(2, memory, reduce="mean") as logger:
        for step in range(1, 3):
            logger.log_metrics({"loss/G": 1.0, "loss/D": float(step), "lr": 0.1}, step=step)

    assert rows(memory) == [(2, {"loss/G": 1.0, "loss/D": 1.5, "lr": 0.1})]


@pytest.mark.parametrize("reduce", ["last", "mean"])
@pytest.mark.parametrize("between", ["log", "flush"])
def test_threads_that_share_it_lose_and_double_no_row(reduce: Any, between: str) -> None:
    logger = Every(2, memory := MemoryLogger(), reduce=reduce)

    def act() -> None:
        if between == "log":
            logger.log_metrics({"loss/D": 2.0}, step=1)
        else:
            logger.flush()

    class Slow(float):
        def __float__(self) -> float:
            """Where another thread may come in between."""
            other.start()
            other.join(0.1)  # it waits for us
            return 1.0

    other = threading.Thread(target=act)
    logger.log_metrics({"loss/D": 2.0}, step=0)
    logger.log_metrics({"loss/G": 3.0}, step=1)
    logger.log_metrics({"loss/G": Slow()}, step=1)
    other.join(60)
    logger.log_metrics({"loss/G": 1.0, "loss/D": 1.0}, step=3)
    logger.close()

    mean = 1.0 if reduce == "last" else 2.0
    assert memory["loss/G"] == [(1, mean), (3, 1.0)]
    assert memory["loss/D"] == [(0, 2.0), (1, 2.0), (3, 1.0)][:: 1 if between == "log" else 2]


def test_a_pickled_one_has_the_rows_that_are_pending() -> None:
    logger = Every(10, MemoryLogger(), reduce="mean")
    logger.log_metrics({"loss/G": 0.5}, step=1)

    copy = pickle.loads(pickle.dumps(logger))
    copy.log_metrics({"loss/G": 1.5}, step=2)
    copy.close()

    assert copy.guards[0].logger["loss/G"] == [(2, 1.0)]


def test_what_is_pending_is_sent_when_nobody_holds_it_any_more() -> None:
    memory = MemoryLogger()
    logger = Every(10, memory)
    logger.log_metrics({"loss/G": 1.0}, step=3)

    del logger
    gc.collect()

    assert memory["loss/G"] == [(3, 1.0)]


def test_flush_sends_what_is_pending_and_close_does_not_repeat_it() -> None:
    memory = MemoryLogger()
    logger = Every(10, memory)
    logger.log_metrics({"loss/G": 1.0}, step=3)

    logger.flush()
    logger.close()

    assert memory["loss/G"] == [(3, 1.0)]


def test_it_closes_and_describes_the_loggers_behind_it() -> None:
    memory = MemoryLogger()

    Tee(Every(10, memory)).log_hyperparams({"losses": ["G"]})

    assert memory.hyperparameters == {"losses": ["G"]}


def test_a_broken_logger_behind_it_is_counted_by_the_tee_in_front() -> None:
    class Broken:
        def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
            raise OSError

    tee = Tee(Every(2, Broken()), MemoryLogger())

    with pytest.warns(RuntimeWarning, match="Broken failed"):
        tee.log_metrics({"loss/G": 1.0}, step=0)

    assert tee.failed == 1


def test_an_unknown_reduction_is_an_error() -> None:
    with pytest.raises(ValueError, match="reduce must be 'last' or 'mean', got 'median'"):
        Every(2, MemoryLogger(), reduce="median")  # type: ignore[arg-type]


def test_never_is_not_an_interval() -> None:
    with pytest.raises(ValueError, match="n must be a whole number of steps, 1 or more, got 0"):
        Every(0, MemoryLogger())


@pytest.mark.parametrize("kind", [Tee, Background])
def test_what_is_forgotten_around_it_lets_its_last_window_go(kind: Any) -> None:
    memory = MemoryLogger()
    around = kind(Every(4, memory))
    for step in range(6):
        around.log_metrics({"loss/G": float(step)}, step=step)

    del around
    gc.collect()

    until(lambda: len(memory.rows) == 3)
    assert memory["loss/G"] == [(0, 0.0), (4, 4.0), (5, 5.0)]
