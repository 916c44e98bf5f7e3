"""The last steps of each loss, reduced to one row."""

from __future__ import annotations

from math import inf, isfinite, nan
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from loss_loggers.base._pending import Pending

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loss_loggers.base._pending import Place, Span
    from loss_loggers.base._protocol import Metrics, Row

    _Values = tuple[int, float, float, float, float]
    _Windows = dict[str, "_Window"]
    _Answers = tuple[tuple[Pending, Pending], ...]
    _Spans = tuple[Span, ...] | None
    """What the record has of some rows; None where nobody asked it."""
    _Covering = tuple[Row, _Spans]

Reduction = Literal["last", "mean"]

_ANSWERS = 15
"""How many answers are known beside the last: an interrupted delivery comes again soon."""

_NONE: _Values = (0, nan, 0.0, inf, -inf)
"""The values of one metric: their count, the last, the mean, the least and the greatest."""


class Windows:
    """A window of steps for each loss, as large as the number of its metrics, not of its steps.

    A window reaches from one multiple of `size` (exclusive) to the next (inclusive). Each loss has
    its own, for the trackers that share a logger need not be at the same step.

    >>> windows = Windows(10, "mean", extremes=True)
    >>> windows.take(Pending([(1, 0.5, {"loss/G": 2.0}), (2, 0.5, {"loss/G": 4.0})]))
    []
    >>> windows.drain()
    [(2, 0.5, {'loss/G': 3.0, 'loss_min/G': 2.0, 'loss_max/G': 4.0})]
    """

    def __init__(self, size: int, reduce: Reduction, *, extremes: bool) -> None:
        self._size = size
        self._reduce: Reduction = reduce
        self._extremes = extremes
        # Reentrant, for a signal handler may log or close in the middle of a row.
        self._lock = RLock()
        # One attribute, for one operation replaces it, which Ctrl-C cannot come into.
        self._state: tuple[_Windows, _Answers] = ({}, ())
        self.ended: dict[str, Place] = {}
        """Where the record has the last row of what each loss has sent, as far as that is known."""
        self._left_out: dict[str, Place] = {}

    def take(self, pending: Pending) -> Pending:
        """Take rows; give those of the windows that are complete by them.

        Whoever raises in between, the rows are in all windows or in none; taken a second time they
        change nothing, and the answer is the same object.
        """
        with self._lock:
            while True:
                windows, answers = before = self._state
                if pending.tries > 1:
                    for known, answer in answers:
                        if known is pending:
                            return answer
                windows, rows = dict(windows), []
                for index in range(len(pending)):
                    rows += self._add(windows, pending.row(index), pending.spans(index))
                ready = _late(rows)
                new = windows, (*answers[-_ANSWERS:], (pending, ready))
                if self._state is before:  # or the handler of a signal has logged, too
                    self._state = new
                    return ready

    def drain(self) -> Pending:
        """The rows of all windows, complete or not."""
        with self._lock:
            windows, answers = self._state
            self._state = {}, answers
        return _late(self._rows(windows, list(windows)))

    def first_place(self) -> Place | None:
        """Where the record has the first row that is in a window still, as far as that is known."""
        held = (spans for window in self._state[0].values() if (spans := window.spans))
        return min((start for spans in held for _, start, _ in spans), default=None)

    def go_on(self, ended: dict[str, Place]) -> None:
        """Begin anew where the record has rows behind these places: those before them were sent."""
        with self._lock:
            windows, answers = self._state
            # What is pending of a record comes again.
            self._state = {loss: own for loss, own in windows.items() if not own.spans}, answers
            self.ended, self._left_out = {**ended}, {**ended}

    def __getstate__(self) -> dict[str, Any]:
        return {name: it for name, it in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=RLock())

    def _add(self, windows: _Windows, row: Row, spans: _Spans) -> list[_Covering]:
        step, time, metrics = row
        number = -(-step // self._size)
        names = _names(metrics)
        if spans and self._left_out:
            end, sent = spans[-1][2], self._left_out
            names = {
                loss: own for loss, own in names.items() if loss not in sent or end > sent[loss]
            }
        ended = [n for n in names if n in windows and windows[n].number != number]
        rows = self._rows(windows, ended)
        for loss, mine in names.items():
            window = windows.get(loss) or _Window(number, step, time, {}, ())
            windows[loss] = window.with_row(row, mine, spans)
        if self._reduce == "last" and step % self._size == 0:
            rows += self._rows(windows, names)
        return rows

    def _rows(self, windows: _Windows, losses: Iterable[str]) -> list[_Covering]:
        """Take the windows of these losses out, as one row for each step at which they ended."""
        rows: dict[int, _Covering] = {}
        for loss, window in [(loss, windows.pop(loss)) for loss in losses]:
            if window.spans:
                self.ended[loss] = window.spans[-1][2]
            row, spans = rows.get(window.step) or ((window.step, window.time, {}), ())
            row[2].update(window.metrics(self._reduce, extremes=self._extremes))
            rows[window.step] = row, _joined(spans, window.spans)
        return [rows[step] for step in sorted(rows)]


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
    spans: _Spans

    def with_row(self, row: Row, names: list[str], spans: _Spans) -> _Window:
        values = dict(self.values)
        step, time, metrics = row
        for name in names:
            value = float(metrics[name])
            count, _, mean, least, greatest = values.get(name, _NONE)
            count += 1
            # Not a total, which may be larger than floats go.
            mean += value / count - mean / count if isfinite(mean) else value
            # A NaN stays in the mean, which shows it, and out of the extremes, so that they show
            # the others: no comparison with it is true.
            least = min(least, value)
            greatest = max(greatest, value)
            values[name] = count, value, mean, least, greatest
        return _Window(self.number, step, time, values, _joined(self.spans, spans))

    def metrics(self, reduce: Reduction, *, extremes: bool) -> Metrics:
        metrics: Metrics = {}
        for name, (_, last, mean, least, greatest) in self.values.items():
            metrics[name] = last if reduce == "last" else mean
            if extremes:
                metrics |= _extremes(name, least, greatest)
        return metrics


def _extremes(name: str, least: float, greatest: float) -> Metrics:
    statistic, slash, loss = name.partition("/")
    low, high = (least, greatest) if least <= greatest else (nan, nan)
    return {f"{statistic}_min{slash}{loss}": low, f"{statistic}_max{slash}{loss}": high}


def _late(rows: list[_Covering]) -> Pending:
    pending = Pending(row for row, _ in rows)
    pending.late, pending.covered = True, [spans for _, spans in rows]
    return pending


def _joined(spans: _Spans, more: _Spans) -> _Spans:
    """Both, unless one is not known; rows that follow one another in the record are one span."""
    if spans is None or more is None:
        return None
    if len(spans) == len(more) == 1:
        (generation, start, end), (later, begun, until) = *spans, *more
        if generation == later and end == begun:
            return ((generation, start, until),)
    return tuple(dict.fromkeys((*spans, *more)))
