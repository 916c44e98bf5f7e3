"""The last steps of each loss, reduced to one row."""

from __future__ import annotations

from collections import defaultdict
from math import inf, nan
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._logger import Metrics, Row

Reduction = Literal["last", "mean"]


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
        self._windows: dict[str, _Window] = {}

    def add(self, step: int, time: float, metrics: Metrics) -> list[Row]:
        """Take a row; give the rows of the windows that are complete by it."""
        number = -(-step // self._size)
        names = _names(metrics)
        rows = self._rows(loss for loss in names if self._number(loss) != number)
        for loss, mine in names.items():
            window = self._windows.setdefault(loss, _Window(number))
            window.add(step, time, mine, metrics)
        if self._reduce == "last" and step % self._size == 0:
            rows += self._rows(names)
        return rows

    def drain(self) -> list[Row]:
        """The rows of all windows, complete or not."""
        return self._rows(list(self._windows))

    def _number(self, loss: str) -> int | None:
        return self._windows[loss].number if loss in self._windows else None

    def _rows(self, losses: Iterable[str]) -> list[Row]:
        """Take these windows out, as one row for each step at which they ended."""
        rows: dict[int, Row] = {}
        for window in [self._windows.pop(loss) for loss in losses if loss in self._windows]:
            row = rows.setdefault(window.step, (window.step, window.time, {}))
            row[2].update(window.metrics(self._reduce, extremes=self._extremes))
        return [rows[step] for step in sorted(rows)]


def _names(metrics: Metrics) -> dict[str, list[str]]:
    """The names of the metrics, for each loss; the user's own numbers go together."""
    names: dict[str, list[str]] = {}
    for name in metrics:
        names.setdefault(name.partition("/")[2], []).append(name)
    return names


class _Window:
    """The metrics of one loss over some steps."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.step = 0
        self.time = 0.0
        self._values: defaultdict[str, _Values] = defaultdict(_Values)

    def add(self, step: int, time: float, names: list[str], metrics: Metrics) -> None:
        self.step, self.time = step, time
        for name in names:
            self._values[name].add(float(metrics[name]))

    def metrics(self, reduce: Reduction, *, extremes: bool) -> Metrics:
        metrics: Metrics = {}
        for name, values in self._values.items():
            metrics[name] = values.last if reduce == "last" else values.total / values.count
            if extremes:
                metrics |= values.extremes(name)
        return metrics


class _Values:
    """The values of one metric, in five numbers."""

    __slots__ = ("count", "last", "maximum", "minimum", "total")

    def __init__(self) -> None:
        self.count, self.last, self.total = 0, nan, 0.0
        self.minimum, self.maximum = inf, -inf

    def add(self, value: float) -> None:
        self.count += 1
        self.last = value
        # A NaN stays in the total, so that the mean shows it, and out of the extremes, so that
        # they show the others: no comparison with it is true.
        self.total += value
        if value < self.minimum:
            self.minimum = value
        if value > self.maximum:
            self.maximum = value

    def extremes(self, name: str) -> Metrics:
        statistic, slash, loss = name.partition("/")
        low, high = (self.minimum, self.maximum) if self.minimum <= self.maximum else (nan, nan)
        return {f"{statistic}_min{slash}{loss}": low, f"{statistic}_max{slash}{loss}": high}
