"""Several loggers as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loss_loggers.base._base_logger import BaseLogger
from loss_loggers.base._clock import row_time
from loss_loggers.base._pending import Pending
from loss_loggers.base._protocol import target_of
from loss_loggers.recording._csv_logger import CsvLogger

from ._guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from loss_loggers.base._protocol import Loggers, Means, Metrics, Record, Row


class Tee(BaseLogger):
    """Send each row to each logger, so that none of them can stop training or starve the others.

    Each logger stands behind a guard of its own, readable in `guards`: one that raises is warned
    about once and counted. `with` and `close()` close the loggers of this package, and any other
    `BaseLogger`. A logger of another project gets its `save()`, `flush()` and `finalize(status)`,
    as far as it has them; without `with` at the end of the process. A run of yours (an
    `Experiment`, `mlflow`, …) is never ended.

    >>> from loss_loggers import MemoryLogger
    >>> ours, copy = MemoryLogger(), MemoryLogger()
    >>> with Tee(ours, copy) as tee:
    ...     tee.log_metrics({"loss/G": 0.5}, step=0)
    >>> ours["loss/G"], copy["loss/G"], tee.failed
    ([(0, 0.5)], [(0, 0.5)], 0)
    """

    def __init__(self, *loggers: Loggers | None) -> None:
        # The record first: where a row is in it is how the others know the row.
        self.guards: tuple[Guard, ...] = tuple(sorted(_guards(loggers), key=_is_no_record))
        self._asks_places = False
        for record in self._records():
            self.set_record(record)
            self._asks_places = self.needs_places

    def __repr__(self) -> str:
        names = (type(guard.logger).__name__ for guard in self.guards)
        return f"{type(self).__name__}({', '.join(names)})"

    @property
    def failed(self) -> int:
        """Rows that a logger could not deliver, summed over the loggers."""
        return sum(guard.failed for guard in self.guards)

    @property
    def withheld(self) -> int:
        """Rows that were kept from a logger that had just failed slowly, summed likewise."""
        return sum(guard.withheld for guard in self.guards)

    @property
    def needs_places(self) -> bool:
        """Whether one of them has to know where rows are in the record."""
        loggers = (guard.logger for guard in self.guards)
        return any(isinstance(one, BaseLogger) and one.needs_places for one in loggers)

    @property
    def target(self) -> str:
        """Which runs it delivers to."""
        return " and ".join(target_of(guard.logger) for guard in self.guards)

    def set_record(self, record: Record) -> None:
        """Let each deliver beside this record."""
        for guard in self.guards:
            if isinstance(guard.logger, BaseLogger):
                guard.logger.set_record(record)

    def forget_from(self, step: int | None) -> None:
        """Let each forget what it has from this step on."""
        for guard in self.guards:
            guard.forget_from(step)

    def before_close(self, deliver: Callable[[], object]) -> None:
        """Have `deliver` called when it, or one of its loggers, is closed."""
        super().before_close(deliver)
        for guard in self.guards:
            if isinstance(guard.logger, BaseLogger):
                guard.logger.before_close(deliver)

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Send one row to each."""
        if self._asks_places:
            Tee.log_pending(self, Pending([(step, row_time(), metrics)]))
            return
        for guard in self.guards:
            guard.log_metrics(metrics, step=step)

    def log_rows(self, rows: Sequence[Row]) -> None:
        """Send rows that arrive late or in a batch to each."""
        if self._asks_places:
            pending = Pending(rows)
            pending.late = True
            Tee.log_pending(self, pending)
            return
        for guard in self.guards:
            guard.log_rows(rows)

    def log_pending(self, pending: Pending) -> None:
        """Send rows to each that does not have them from an earlier, interrupted call."""
        if pending.tee is None:
            pending.tee = self
        elif pending.tee is not self:  # it is behind another one
            pending = pending.child()
            pending.tee = self
        pending.tries += 1
        if self._asks_places and pending.places is None:
            pending.places = [None] * len(pending)
        guards = self.guards
        while pending.done < len(guards):
            guards[pending.done].log_pending(pending)
            pending.done += 1

    def log_epoch(self, epoch: int, means: Means, /, *, step: int) -> None:
        """Send the means of an epoch to each."""
        for guard in self.guards:
            guard.log_epoch(epoch, means, step=step)

    def log_hyperparams(self, hyperparams: dict[str, Any]) -> None:
        """Send them to each logger that records them."""
        for guard in self.guards:
            guard.log_hyperparams(hyperparams)

    def close(self, error: BaseException | None = None) -> None:
        """Close each logger that is a `BaseLogger`, and tell others that it is over."""
        self.flush_producers()
        for guard in self.guards:
            guard.close(error)

    def _records(self) -> Iterator[CsvLogger]:
        loggers = (guard.logger for guard in self.guards)
        return (logger for logger in loggers if isinstance(logger, CsvLogger))


def as_tee(logger: Loggers | None) -> Tee:
    """A `Tee` of one logger, of a list of them, or of nothing.

    >>> as_tee(None)
    Tee()
    """
    # The class itself: Every and Rename are Tees that may fail, so they get a guard.
    return logger if type(logger) is Tee else Tee(logger)


def _is_no_record(guard: Guard) -> bool:
    return not isinstance(guard.logger, CsvLogger)


def _guards(logger: object) -> Iterator[Guard]:
    if type(logger) is Tee:
        yield from logger.guards
    elif isinstance(logger, list | tuple):
        for one in logger:
            yield from _guards(one)
    elif logger is not None:
        yield Guard(logger)
