"""The rows of a record, as they were logged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._row_template import KEYS
from ._run_folder import parts
from ._table import read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from loss_loggers.base._pending import Place
    from loss_loggers.base._protocol import Row

START = (1, 0)


def read_rows(
    run: Path, place: Place = START, is_known: Callable[[Place], bool] = lambda _: False
) -> Iterator[tuple[Row, Place]]:
    """The rows behind a place, each with the place where it ends.

    A row is the losses of one step and time, each once, whose lines follow one another.

    Args:
        run: The run folder.
        place: Where a line begins.
        is_known: Whether the line that ends at a place is to be left out.

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
        for row, end in _rows(path, offset if number == first else 0, number, is_known):
            yield row, (number, end)


def _rows(
    path: Path, start: int, number: int, is_known: Callable[[Place], bool]
) -> Iterator[tuple[Row, int]]:
    header, lines = read_table(path, start)
    columns = header[len(KEYS) :]
    names: dict[str, list[str]] = {}
    row: Row | None = None
    key: list[str] = []
    seen: set[str] = set()
    end = start
    for cells, _, offset, _ in lines:
        name = cells[2]
        known = is_known((number, offset))
        if row is not None and (known or cells[:2] != key or name in seen):
            yield row, end
            row = None
        if known:
            continue
        if row is None:
            key, seen = cells[:2], set()
            row = int(key[0]), float(key[1]), {}
        seen.add(name)
        metrics = names.get(name) or names.setdefault(name, _metrics(name, columns))
        row[2].update(_numbers(metrics, cells[len(KEYS) :]))
        end = offset
    if row is not None:
        yield row, end


def _metrics(name: str, columns: list[str]) -> list[str]:
    """What the numbers of one loss are called, by column."""
    return [name if column == "value" else f"{column}/{name}" for column in columns]


def _numbers(metrics: list[str], cells: list[str]) -> dict[str, float]:
    return {
        metric: float(cell) if "." in cell else _number(cell)  # most have a point
        for metric, cell in zip(metrics, cells, strict=True)
        if cell
    }


def _number(cell: str) -> float:
    """The number, exactly; an integer stays one."""
    return int(cell) if cell.lstrip("-").isdecimal() else float(cell)
