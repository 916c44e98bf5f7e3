"""The last rows of a run, from the end of its newest file: cheap, however long the run is."""

from __future__ import annotations

import os
from contextlib import suppress
from math import hypot, inf, isfinite
from typing import TYPE_CHECKING

from loss_loggers.alerts import is_total
from loss_loggers.recording import UnreadableError, open_file, read_table
from loss_loggers.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

TAIL = 16_384  # bytes, enough for the last rows of some dozen losses


class LastRows:
    """The last whole line of each loss that is near the end.

    Args:
        files: The parts of the record.
        since: When the run was last resumed: the pause before it is no part of the pace.

    Attributes:
        step: The largest one near the end; None if there is none.
        rows: for each name its cells that are numbers, by column.
        steps_per_second: The pace of the steps near the end; None where there are not two.
    """

    def __init__(self, files: list[Path], since: float = -inf) -> None:
        self.step: int | None = None
        self.rows: dict[str, dict[str, float]] = {}
        self._since, self._time = since, -inf
        self._first: tuple[int, float] | None = None
        self._last: tuple[int, float] | None = None
        for path in reversed(files):
            header, lines = _header_and_tail(path)
            for line in lines:
                self._add(dict(zip(header, line, strict=False)))
            if self.step is not None:
                return

    def _add(self, cells: dict[str, str]) -> None:
        try:
            name = printable(cells.pop("name"))
            row = {column: float(cell) for column, cell in cells.items() if cell}
            if not isfinite(row["time"]):
                return
            step = int(row["step"])
        except (KeyError, ValueError, OverflowError):
            return
        if self._time < self._since <= row["time"]:
            self._first = self._last = None
        self._time = row["time"]
        if self._last is None or step > self._last[0]:  # a validation may record at a step behind
            self._last = step, row["time"]
            self._first = self._first or self._last
        self.step = step if self.step is None else max(step, self.step)
        self.rows[name] = row

    @property
    def steps_per_second(self) -> float | None:
        if self._first is None or self._last is None:
            return None
        steps, seconds = (end - start for start, end in zip(self._first, self._last, strict=True))
        return steps / seconds if seconds > 0 else None

    @property
    def values(self) -> dict[str, float]:
        """The last value of each loss and total."""
        return {name: row["loss"] for name, row in self.rows.items() if "loss" in row}

    @property
    def losses(self) -> list[str]:
        """The names that have a loss, except their total, where nothing else tells which do."""
        names = [name for name, row in self.rows.items() if "loss" in row]
        return sorted(name for name in names if not is_total(name))

    def marks(self, losses: Iterable[str]) -> list[str]:
        """The losses that deserve a look, and why, in a word.

        One that was ever lost is "nan", even if that was long ago: its rows keep the count.
        """
        known = [name for name in losses if name in self.rows]
        return [f"{name} {why}" for name in known for why in _marks(self.rows[name])]


def _marks(row: dict[str, float]) -> list[str]:
    loss = row.get("loss", 0.0)
    if row.get("nonfinite") or not isfinite(loss):
        return ["nan"]
    # The root of the mean square: a mean alone may be near 0 where signs change.
    usual = hypot(row.get("mean", 0.0), row.get("std", 0.0))
    return ["spike"] if 0 < 10 * usual < abs(loss) else []


def _header_and_tail(path: Path) -> tuple[list[str], list[list[str]]]:
    """The columns, and the whole lines of the last bytes, as far as they make sense."""
    with open_file(path) as file:
        start = file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
        start += len(file.readline(TAIL)) if start else 0
    header: list[str] = []
    found: list[list[str]] = []
    with suppress(UnreadableError):
        header, lines = read_table(path, start)
        found.extend(line.cells for line in lines)
    return header, found
