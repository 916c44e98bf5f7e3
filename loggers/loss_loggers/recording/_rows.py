"""The rows of a record, as they were logged."""

from __future__ import annotations

from collections import deque
from math import inf
from sys import maxsize
from typing import TYPE_CHECKING

from ._epochs import read_epoch_rows
from ._line_template import KEYS
from ._run_folder import readable_parts, run_info
from ._table import read_table, senseless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from loss_loggers.base._pending import Place
    from loss_loggers.base._protocol import Row

    from ._epochs import LoggedEpoch

START = (1, 0)
_ENDS = ("part", "offset", "epochs")


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
    for number, path in readable_parts(run):
        if number >= first:
            for row, end in _rows(path, offset if number == first else 0, number, is_known):
                yield row, (number, end)


def read_logged(run: Path) -> Iterator[Row]:
    """The rows of a run, and the means of its epochs where a logger gets them as rows.

    No file says when an epoch was logged: it comes behind the rows of its last step, with the time
    of the row before it.

    >>> from tempfile import TemporaryDirectory
    >>> from loss_loggers import CsvLogger
    >>> with TemporaryDirectory() as folder:
    ...     with CsvLogger(f"{folder}/gan") as logger:
    ...         logger.log_rows([(7, 0.5, {"loss/G": 0.25})])
    ...         logger.log_epoch(0, {"G": (0.25, 1)}, step=7)
    ...     list(read_logged(logger.path))
    [(7, 0.5, {'loss/G': 0.25}), (7, 0.5, {'epoch': 0, 'epoch_loss/G': 0.25})]
    """
    epochs, resumptions = deque(read_epoch_rows(run)), _resumptions(run)
    time, last = 0.0, None
    for row, place in read_rows(run):
        while place > resumptions[0][0]:
            _, until = resumptions.popleft()
            while epochs and epochs[0].end <= until:
                epoch = epochs.popleft()
                yield epoch.step, time, epoch.row
        for epoch in _due(epochs, last, row[0], resumptions[0][1]):
            yield epoch.step, time, epoch.row
        yield row
        last, time, _ = row
    yield from ((epoch.step, time, epoch.row) for epoch in epochs)


def _resumptions(run: Path) -> deque[tuple[Place, float]]:
    """Where the record went on: the last place, and the last byte of the epochs, before that."""
    entries = run_info(run).get("resumed")
    found: deque[tuple[Place, float]] = deque([((maxsize, maxsize), inf)])
    for entry in reversed(entries if isinstance(entries, list) else []):
        ends = [entry.get(key) if isinstance(entry, dict) else None for key in _ENDS]
        part, offset, epochs = (end if isinstance(end, int) else maxsize for end in ends)
        # Where it went back behind it later, that place is of newer rows.
        found.appendleft((min(found[0][0], (part, offset)), min(found[0][1], epochs)))
    return found


def _due(
    epochs: deque[LoggedEpoch], last: int | None, step: int, until: float
) -> Iterator[LoggedEpoch]:
    """Take the epochs that ended between a row and the next."""
    named: set[str] = set()
    while epochs and epochs[0].end <= until:
        epoch, names = epochs[0], (epochs[0].row.means or {}).keys()
        if last is None or step >= last:
            if epoch.step >= step:
                return
        elif epoch.step != last or names & named:
            return  # steps begin anew: the next epoch of a loss may be that of the same steps later
        named |= names
        yield epochs.popleft()


def _rows(
    path: Path, start: int, number: int, is_known: Callable[[Place], bool]
) -> Iterator[tuple[Row, int]]:
    header, lines = read_table(path, start, default=KEYS)
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
        metrics = names.get(name) or names.setdefault(name, _metrics(name, columns))
        try:
            if row is None:
                key, seen = cells[:2], set()
                row = int(key[0]), float(key[1]), {}
            row[2].update(_numbers(metrics, cells[len(KEYS) :]))
        except ValueError as error:
            raise senseless(path, offset, error) from None
        seen.add(name)
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
