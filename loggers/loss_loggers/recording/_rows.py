"""The rows of a record, as they were logged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._row_template import KEYS
from ._run_folder import parts
from ._table import read_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loss_loggers.base._pending import Place
    from loss_loggers.base._protocol import Row


def read_rows(run: Path, place: Place = (1, 0)) -> Iterator[tuple[Row, Place]]:
    """The rows behind a place, each with the place where it ends; the losses of a step are one.

    >>> from tempfile import TemporaryDirectory
    >>> from loss_loggers import CsvLogger
    >>> with TemporaryDirectory() as folder:
    ...     with CsvLogger(f"{folder}/gan") as logger:
    ...         logger.log_rows([(7, 0.5, {"loss/G": 0.25, "loss/D": 1, "lr": 1e-3})])
    ...     [row for row, _ in read_rows(logger.path)]
    [(7, 0.5, {'loss/G': 0.25, 'loss/D': 1, 'lr': 0.001})]
    """
    first, offset = place
    for number, path in list(enumerate(parts(run), 1))[first - 1 :]:
        for row, end in _rows(path, offset if number == first else 0):
            yield row, (number, end)


def _rows(path: Path, start: int) -> Iterator[tuple[Row, int]]:
    row: Row | None = None
    end = start
    header, lines = read_table(path, start)
    for cells, _, offset, _ in lines:
        step, time, name = int(cells[0]), float(cells[1]), cells[2]
        if row is not None and (step, time) != row[:2]:
            yield row, end
            row = None
        row = row or (step, time, {})
        row[2].update(_metrics(name, header, cells))
        end = offset
    if row is not None:
        yield row, end


def _metrics(name: str, header: list[str], cells: list[str]) -> Iterator[tuple[str, float]]:
    for column, cell in zip(header[len(KEYS) :], cells[len(KEYS) :], strict=True):
        if cell:
            yield (name if column == "value" else f"{column}/{name}"), _number(cell)


def _number(cell: str) -> float:
    """The number, exactly; an integer stays one."""
    return int(cell) if cell.lstrip("-").isdecimal() else float(cell)
