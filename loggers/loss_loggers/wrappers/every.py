"""Fewer rows, for a backend that is slow or charges by the point."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from loss_loggers.arguments import checked, checked_count
from loss_loggers.base._clock import row_time
from loss_loggers.base._epoch_row import EpochRow
from loss_loggers.base._pending import Pending
from loss_loggers.base._process import before_end, finalizer, not_before_end

from ._windows import Windows
from .tee import Tee

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loss_loggers.base._pending import Place
    from loss_loggers.base._protocol import Loggers, Metrics, Row

    from ._guard import Guard
    from ._windows import Reduction


class Every(Tee):
    """Send a row on every `n` steps: at the steps 0, n, 2 n, ….

    With `reduce="last"` that row is sent at once, as it came. With `reduce="mean"` it holds the
    mean over the `n` steps that end there, so that no spike hides between two rows; it is sent when
    the next step begins, for a step may bring several rows. A NaN among the steps makes the mean
    NaN. `extremes=True` adds the least and greatest value (`loss_min/G`, `loss_max/G`), NaN aside.

    Trackers that share an `Every` are thinned each at its own step, and a metric that comes rarely
    is in the next row of its loss. `flush()` sends what is pending; so do `close()` and the end of
    the process. The means of an epoch are sent at once.

    >>> from loss_loggers import MemoryLogger
    >>> memory = MemoryLogger()
    >>> with Every(2, memory, reduce="mean") as logger:
    ...     for step, loss in enumerate([8.0, 1.0, 3.0, 5.0]):
    ...         logger.log_metrics({"loss/G": loss}, step=step)
    >>> memory["loss/G"]
    [(0, 8.0), (2, 2.0), (3, 5.0)]
    """

    def __init__(
        self, n: int, logger: Loggers, *, reduce: Reduction = "last", extremes: bool = False
    ) -> None:
        super().__init__(logger)
        n = checked_count(n, 1, "n", "steps")
        checked(reduce, ("last", "mean").__contains__, "reduce", "'last' or 'mean'")
        self._new_windows = partial(Windows, n, reduce, extremes=extremes)
        self._begin()

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Take one row, with the current time; that of an epoch goes on at once."""
        if isinstance(metrics, EpochRow):
            super().log_metrics(metrics, step=step)
        else:
            self.log_rows([(step, row_time(), metrics)])

    def log_rows(self, rows: Sequence[Row]) -> None:
        """Take rows, with the times that they bring."""
        self.log_pending(Pending(rows))

    def log_pending(self, pending: Pending) -> None:
        """Take rows that an interrupted delivery may bring again: each counts once."""
        if os.getpid() != self._pid:
            self._begin()
        if ready := self._windows.take(pending):
            super().log_pending(ready)

    def first_place(self) -> Place | None:
        """Where the record has the first row that is pending, for who sends rows of a record."""
        return self._windows.first_place()

    def ended(self) -> dict[str, Place]:
        """Where the record has the last row of what was sent of each loss."""
        return {**self._windows.ended}

    def go_on(self, ended: dict[str, Place]) -> None:
        """Leave out rows up to these places: an earlier one has sent them."""
        self._windows.go_on(ended)

    def flush(self) -> None:
        """Send what is pending without waiting for the rest of the n steps."""
        self._flush()

    def begin_close(self) -> None:
        """Send what is pending, and let the loggers begin."""
        self.flush()
        super().begin_close()

    def close(self, error: BaseException | None = None) -> None:
        """Send what is pending, then close the loggers."""
        self.flush_producers()
        self.flush()
        super().close(error)

    def _begin(self) -> None:
        """Begin with empty windows; a forked process does so, for its parent sends what it had."""
        self._pid = os.getpid()
        self._windows = self._new_windows()
        self._flush = partial(_deliver, self._windows, self.guards, self._pid)
        # Not left to the finalizer alone, which runs after the hooks that SDKs registered later.
        before_end(self._flush)
        finalizer(self, _end, self._flush)


def _deliver(windows: Windows, guards: tuple[Guard, ...], owner: int) -> None:
    """Send what is pending, unless this is a forked process that has only a copy of it."""
    if os.getpid() == owner and (rows := windows.drain()):
        for guard in guards:
            guard.log_pending(rows)
            rows.done += 1


def _end(flush: Callable[[], object]) -> None:
    not_before_end(flush)
    flush()
