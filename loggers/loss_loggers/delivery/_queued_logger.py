"""One logger with a queue and a thread of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from loss_loggers.base._base_logger import BaseLogger
from loss_loggers.base._clock import row_time
from loss_loggers.base._epoch_row import EpochRow
from loss_loggers.base._protocol import target_of
from loss_loggers.base._values import exact
from loss_loggers.base._warn import warn

from ._delivery_log import DeliveryLog
from ._queue import DeliveryQueue
from ._record_places import RecordPlaces
from ._thread import DeliveryThread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from loss_loggers.base._pending import Pending, Span
    from loss_loggers.base._protocol import Logger, Metrics, Record, Row

_NUMBERS = frozenset((float, int))


class QueuedLogger(BaseLogger):
    """Takes a row, makes its values plain numbers, puts it into the queue, and returns."""

    def __init__(self, logger: Logger, path: Path | None, max_rows: int, interval: float) -> None:
        name = getattr(logger, "__name__", type(logger).__qualname__)
        self.logger = logger
        self._log = DeliveryLog(name, target_of(logger), path)
        self._queue = DeliveryQueue(self._log, max_rows)
        self._thread = DeliveryThread(logger, self._queue, interval)
        self._places: RecordPlaces | None = None
        self._closed_record: Record | None = None
        self._is_closed = self._said_foreign = False
        self._pid = os.getpid()

    @property
    def target(self) -> str:
        """The run that the logger delivers to."""
        return target_of(self.logger)

    @property
    def path(self) -> Path:
        """The file of the rows that were not delivered."""
        return self._log.path

    @property
    def delivered(self) -> int:
        """Rows that arrived."""
        return self._log.delivered

    @property
    def pending(self) -> int:
        """Rows that wait, or are under way."""
        return len(self._queue)

    @property
    def has_all(self) -> bool:
        """Whether the logger has all rows, and was not told to end yet."""
        return not self._is_closed and not self.pending

    @property
    def failed(self) -> int:
        """Rows that were not delivered: those in the file, and those that found no place there."""
        return self._log.kept + self._log.lost

    def set_record(self, record: Record) -> bool:
        """Keep what is not delivered in the folder of this record, and what is by its places.

        The first one counts.
        """
        if self._places is None:
            self._places, self._closed_record = RecordPlaces(record), record
            self._write_beside_record()
            if isinstance(self.logger, BaseLogger):
                self.logger.set_record(record)
        return self._places.follows(record)

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Take one row, with the current time."""
        self._put(int(step), row_time(), _plain(metrics), None)

    def log_rows(self, rows: Sequence[Row]) -> None:
        """Take rows, with the times that they bring."""
        for step, moment, metrics in rows:
            self._put(int(step), moment, _plain(metrics), None)

    def log_pending(self, pending: Pending) -> None:
        """Take rows with their times; the one during which Ctrl-C came may come twice."""
        for (step, moment, metrics), spans in pending.remaining():
            self._put(int(step), moment, _plain(metrics), spans)

    def log_hyperparams(self, hyperparams: dict[str, Any]) -> None:
        """Take hyperparameters, which are delivered in their turn, if the logger takes any."""
        from loss_loggers.base._hyperparameters import plain

        if hasattr(self.logger, "log_hyperparams"):
            self._put(None, row_time(), plain(hyperparams), ())

    def ask(self) -> int:
        """Let the thread deliver now; the number of this request."""
        return 0 if self._is_foreign() else self._thread.ask()

    def wait(self, request: int, deadline: float) -> None:
        """Wait until it was met, or tried."""
        if not self._is_foreign():
            self._thread.wait(request, deadline)

    def finish(self, error: BaseException | None = None, then: Callable[[], object] = int) -> None:
        """Take no more rows; the thread delivers those that it has, calls `then`, and ends."""
        if not self._is_closed and not self._is_foreign():
            self._is_closed = True
            self._thread.finish(error, then)

    def join(self, deadline: float) -> None:
        """Wait for that end; what is left then goes to the file."""
        if not self._is_foreign():
            self._thread.join(deadline)

    def _put(
        self,
        step: int | None,
        moment: float,
        content: dict[str, Any],
        spans: tuple[Span, ...] | None,
    ) -> None:
        if os.getpid() != self._pid:
            self._refuse()
            return
        if self._places is not None:
            spans = self._known_spans(self._places, content, spans)
        item = step, moment, content, spans or ()
        if self._is_closed:
            self._log.keep([item])
            self._thread.backoff.kept("was closed")
            return
        if not self._queue.put(item):
            self._thread.backoff.kept("does not take rows as fast as they come")
        if not self._thread.is_started:
            self._thread.start()

    def _known_spans(
        self, places: RecordPlaces, content: Metrics, spans: tuple[Span, ...] | None
    ) -> tuple[Span, ...]:
        """What the record has of a row: if the row does not say, all since the last one."""
        if self._closed_record is not None:
            self._write_beside_record()
        if spans is not None:
            places.passed(spans)
            return spans
        is_epoch = isinstance(content, EpochRow)
        return places.epochs_until_now() if is_epoch else places.rows_until_now()

    def _write_beside_record(self) -> None:
        """Once the record has its folder: a later rank has it with its first row."""
        record = self._closed_record
        if record is not None and record.is_open and not self._is_foreign():
            self._closed_record = None
            self._log.write_beside(record)

    def _refuse(self) -> None:
        self._log.lost += 1
        if not self._said_foreign:
            self._said_foreign = True
            warn(
                f"{self._log.name} delivers nothing here: it belongs to the process that forked "
                "this one. Rows are counted."
            )

    def _is_foreign(self) -> bool:
        """Whether this is a forked process, which has a copy of the rows and not the thread."""
        return os.getpid() != self._pid


def _plain(metrics: Metrics) -> Metrics:
    """A copy with plain numbers: what a tensor holds may be another number when its turn comes."""
    if _NUMBERS.issuperset(map(type, metrics.values())):
        plain = dict(metrics)
    else:
        plain = {name: _number(value) for name, value in metrics.items()}
    return EpochRow(plain) if isinstance(metrics, EpochRow) else plain


def _number(value: Any) -> Any:
    if isinstance(value, bool | int | str):
        return value
    try:
        return exact(value)
    except Exception:  # every array library raises another one; the logger may know what it is
        return value
