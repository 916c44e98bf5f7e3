"""The last steps of each loss, reduced to one row."""

from __future__ import annotations

from itertools import repeat
from math import inf, nan
from typing import TYPE_CHECKING, Literal, NamedTuple

from loss_loggers.base._pending import Pending

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loss_loggers.base._pending import Range
    from loss_loggers.base._protocol import Metrics, Row

    _Placed = tuple[Row, Range | None]

    _Values = tuple[int, float, float, float, float]
    _Windows = dict[str, "_Window"]
    _Answers = tuple[tuple[Pending, Pending], ...]

Reduction = Literal["last", "mean"]

_ANSWERS = 15
"""How many answers are known beside the last: an interrupted delivery comes again soon."""

_NONE: _Values = (0, nan, 0.0, inf, -inf)
"""The values of one metric: their count, the last, the total, the least and the greatest."""


class Windows:
    """A window of steps for each loss, as large as the number of its metrics, not of its steps.

    A window reaches from one multiple of `size` (exclusive) to the next (inclusive). Each loss has
    its own, for the trackers that share a logger need not be at the same step.

    >>> windows = Windows(10, "mean", extremes=True)
    >>> windows.add(1, 0.5, {"loss/G": 2.0})
    []
    >>> windows.add(2, 0.5, {"loss/G": 4.0})
    []
    >>> windows.drain()
    [(2, 0.5, {'loss/G': 3.0, 'loss_min/G': 2.0, 'loss_max/G': 4.0})]
    """

    def __init__(self, size: int, reduce: Reduction, *, extremes: bool) -> None:
        self._size = size
        self._reduce: Reduction = reduce
        self._extremes = extremes
        # One attribute, for one operation replaces it, which Ctrl-C cannot come into.
        self._state: tuple[_Windows, _Answers] = ({}, ())

    def add(self, step: int, time: float, metrics: Metrics) -> list[Row]:
        """Take a row; give the rows of the windows that are complete by it."""
        return self.take(Pending([(step, time, metrics)]))

    def take(self, pending: Pending) -> Pending:
        """Take rows; give those of the windows that are complete by them.

        Whoever raises in between, the rows are in all windows or in none; taken a second time they
        change nothing, and the answer is the same object.
        """
        windows, answers = self._state
        if pending.tries > 1:
            for known, answer in answers:
                if known is pending:
                    return answer
        windows, rows = dict(windows), []
        for row, places in zip(pending, pending.places or repeat(None), strict=False):
            rows += self._add(windows, row, places)
        ready = _pending(rows)
        self._state = windows, (*answers[-_ANSWERS:], (pending, ready))
        return ready

    def drain(self) -> Pending:
        """The rows of all windows, complete or not."""
        windows, answers = self._state
        self._state = {}, answers
        return _pending(self._rows(windows, list(windows)))

    def _add(self, windows: _Windows, row: Row, places: Range | None) -> list[_Placed]:
        step, time, metrics = row
        number = -(-step // self._size)
        names = _names(metrics)
        ended = [n for n in names if n in windows and windows[n].number != number]
        rows = self._rows(windows, ended)
        for loss, mine in names.items():
            window = windows.get(loss) or _Window(number, step, time, {}, places)
            windows[loss] = window.with_row(step, time, mine, metrics, places)
        if self._reduce == "last" and step % self._size == 0:
            rows += self._rows(windows, names)
        return rows

    def _rows(self, windows: _Windows, losses: Iterable[str]) -> list[_Placed]:
        """Take the windows of these losses out, as one row for each step at which they ended."""
        rows: dict[int, _Placed] = {}
        for window in [windows.pop(loss) for loss in losses]:
            row, places = rows.get(window.step) or ((window.step, window.time, {}), window.places)
            row[2].update(window.metrics(self._reduce, extremes=self._extremes))
            rows[window.step] = row, _both(places, window.places)
        return [rows[step] for step in sorted(rows)]


def _pending(rows: list[_Placed]) -> Pending:
    ready = Pending(row for row, _ in rows)
    ready.late = True
    ready.places = [places for _, places in rows]
    return ready


def _both(one: Range | None, other: Range | None) -> Range | None:
    """From the beginning of the one to the end of the other, whichever is first."""
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])


def _names(metrics: Metrics) -> dict[str, list[str]]:
    """The names of the metrics, for each loss; the user's own numbers go together."""
    names: dict[str, list[str]] = {}
    for name in metrics:
        names.setdefault(name.partition("/")[2], []).append(name)
    return names


class _Window(NamedTuple):
    """The metrics of one loss over some steps."""

    number: int
    step: int
    time: float
    values: dict[str, _Values]
    places: Range | None

    def with_row(
        self, step: int, time: float, names: list[str], metrics: Metrics, places: Range | None
    ) -> _Window:
        values = dict(self.values)
        for name in names:
            value = float(metrics[name])
            count, _, total, least, greatest = values.get(name, _NONE)
            # A NaN stays in the total, so that the mean shows it, and out of the extremes, so that
            # they show the others: no comparison with it is true.
            least = min(least, value)
            greatest = max(greatest, value)
            values[name] = count + 1, value, total + value, least, greatest
        return _Window(self.number, step, time, values, _both(self.places, places))

    def metrics(self, reduce: Reduction, *, extremes: bool) -> Metrics:
        metrics: Metrics = {}
        for name, (count, last, total, least, greatest) in self.values.items():
            metrics[name] = last if reduce == "last" else total / count
            if extremes:
                metrics |= _extremes(name, least, greatest)
        return metrics


def _extremes(name: str, least: float, greatest: float) -> Metrics:
    statistic, slash, loss = name.partition("/")
    low, high = (least, greatest) if least <= greatest else (nan, nan)
    return {f"{statistic}_min{slash}{loss}": low, f"{statistic}_max{slash}{loss}": high}
