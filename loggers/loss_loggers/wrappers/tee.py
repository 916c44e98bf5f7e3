"""Several loggers as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loss_loggers.base._base_logger import BaseLogger
from loss_loggers.base._guard import Guard
from loss_loggers.base._target import target_of
from loss_loggers.recording._csv_logger import CsvLogger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from loss_loggers.base._pending import Pending
    from loss_loggers.base._protocol import Loggers, Means, Metrics, Row


class Tee(BaseLogger):
    """Send each row to each logger, so that none of them can stop training or starve the others.

    Each logger stands behind a guard of its own, readable in `guards`: one that raises is warned
    about once and counted. `with` and `close()` close the loggers of this package, and any other
    `BaseLogger`; a run of yours (an `Experiment`, `mlflow`, …) is never ended.

    >>> from loss_loggers import MemoryLogger
    >>> ours, copy = MemoryLogger(), MemoryLogger()
    >>> with Tee(ours, copy) as tee:
    ...     tee.log_metrics({"loss/G": 0.5}, step=0)
    >>> ours["loss/G"], copy["loss/G"], tee.failed
    ([(0, 0.5)], [(0, 0.5)], 0)
    """

    def __init__(self, *loggers: Loggers | None) -> None:
        self.guards: tuple[Guard, ...] = tuple(_guards(loggers))
        for record in self._records():
            self.set_spool_folder(record.path)

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
    def target(self) -> str:
        """Which runs it delivers to."""
        return " and ".join(target_of(guard.logger) for guard in self.guards)

    def set_spool_folder(self, folder: Path) -> None:
        """Let each keep in this run folder what it cannot deliver."""
        for guard in self.guards:
            if isinstance(guard.logger, BaseLogger):
                guard.logger.set_spool_folder(folder)

    def before_close(self, deliver: Callable[[], object]) -> None:
        """Have `deliver` called when it, or one of its loggers, is closed."""
        super().before_close(deliver)
        for guard in self.guards:
            if isinstance(guard.logger, BaseLogger):
                guard.logger.before_close(deliver)

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Send one row to each."""
        for guard in self.guards:
            guard.log_metrics(metrics, step=step)

    def log_rows(self, rows: Sequence[Row]) -> None:
        """Send rows that arrive late or in a batch to each."""
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
        """Close each logger that is a `BaseLogger`."""
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


def _guards(logger: object) -> Iterator[Guard]:
    if type(logger) is Tee:
        yield from logger.guards
    elif isinstance(logger, list | tuple):
        for one in logger:
            yield from _guards(one)
    elif logger is not None:
        yield Guard(logger)
