from __future__ import annotations

import pytest

from loss_loggers import MemoryLogger, row_time


def test_rows_are_copies() -> None:
    logger = MemoryLogger()
    row = {"loss/G": 1.0}

    logger.log_metrics(row, step=0)
    row["loss/G"] = 2.0

    assert logger.values("loss/G") == [1.0]


def test_a_row_has_the_time_of_now() -> None:
    logger = MemoryLogger()

    start = row_time()
    logger.log_metrics({"loss/G": 1.0}, step=0)

    assert start <= logger.rows[0][1] <= row_time()


def test_max_rows_keeps_the_last() -> None:
    logger = MemoryLogger(max_rows=2)

    for step in range(5):
        logger.log_metrics({"loss/G": step / 2}, step=step)

    assert logger["loss/G"] == [(3, 1.5), (4, 2.0)]


def test_a_metric_may_be_missing_from_a_row() -> None:
    logger = MemoryLogger()

    logger.log_metrics({"loss/G": 1.0}, step=0)
    logger.log_metrics({"loss/D": 2.0}, step=1)

    assert logger["loss/D"] == [(1, 2.0)]


def test_an_unknown_metric_is_told_what_there_is() -> None:
    logger = MemoryLogger()
    logger.log_metrics({"loss/G": 1.0}, step=0)

    with pytest.raises(KeyError, match="no row carries 'loss/D'; there are \\['loss/G'\\]"):
        logger["loss/D"]


def test_room_for_no_row_is_an_error() -> None:
    with pytest.raises(
        ValueError, match="max_rows must be a whole number of rows, 1 or more, got 0"
    ):
        MemoryLogger(max_rows=0)
