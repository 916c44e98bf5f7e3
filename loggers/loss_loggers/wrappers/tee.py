"""Several loggers as one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from loss_loggers.base._base_logger import BaseLogger
from loss_loggers.base._clock import row_time
from loss_loggers.base._epoch_row import EpochRow
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
    about once and counted. A `CsvLogger` gets each row first, in whichever order they are listed,
    so that what reaches a backend is in the record. `with` and `close()` close the loggers of this
    package, and any other `BaseLogger`. A logger of another project gets its `save()`, `flush()`
    and `finalize(status)`, as far as it has them; without `with` at the end of the process. A run
    of yours (an `Experiment`, `mlflow`, …) is never ended.

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
        records = [g.logger for g in self.guards if isinstance(g.logger, CsvLogger)]
        asked = [self.set_record(record) for record in records]
        # What rows know it by: windows remember rows, and are not to keep a forgotten Tee alive.
        self._key = object()
        # With several records, those that ask go by how far theirs has come.
        self._asked = records[0] if asked == [True] else None

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

    def set_record(self, record: Record) -> bool:
        """Let each deliver beside this record; whether one has to be told where rows are in it."""
        return True in [logger.set_record(record) for logger in self._ours()]  # each is told

    def settle(self) -> None:
        """Wait until the backend of each has what was logged."""
        for logger in self._ours():
            logger.settle()

    def known_rows(self, steps: frozenset[int]) -> Callable[[Row], bool] | None:
        """What tells whether all of them have a row, if each can read that."""
        known = [logger.known_rows(steps) for logger in self._ours()]
        tell = [one for one in known if one is not None]
        if len(tell) < len(self.guards):
            return None
        return lambda row: all(one(row) for one in tell)

    def forget_from(self, step: int | None) -> None:
        """Let each forget what it has from this step on."""
        for guard in self.guards:
            guard.forget_from(step)

    def before_close(self, deliver: Callable[[], object]) -> None:
        """Have `deliver` called when it, or one of its loggers, is closed."""
        super().before_close(deliver)
        for logger in self._ours():
            logger.before_close(deliver)

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Send one row to each, with the current time."""
        if isinstance(metrics, EpochRow):  # known as such wherever it goes, and not interrupted
            for guard in self.guards:
                guard.log_metrics(metrics, step=step)
        else:
            Tee.log_pending(self, Pending([(step, row_time(), metrics)]))

    def log_rows(self, rows: Sequence[Row]) -> None:
        """Send rows that arrive late or in a batch to each."""
        pending = Pending(rows)
        pending.late = True
        Tee.log_pending(self, pending)

    def log_pending(self, pending: Pending) -> None:
        """Send rows to each that does not have them from an earlier, interrupted call."""
        if pending.tee is None:
            pending.tee = self._key
        elif pending.tee is not self._key:  # it is behind another one
            pending = pending.child()
            pending.tee = self._key
        if self._asked is not None and not pending.tries:
            _ask_for_places(pending)
        pending.tries += 1
        guards = self.guards
        while pending.done < len(guards):
            guards[pending.done].log_pending(pending)
            if pending.waits:
                pending.go_on = partial(Tee.log_pending, self, pending)  # not renamed again
                return
            pending.done += 1

    def record(self, pending: Pending) -> None:
        """Have the record alone take rows that are on their way, since its state is to be saved."""
        pending.tee = self._key
        if self._asked is not None and not pending.tries:
            _ask_for_places(pending)
        pending.tries += 1
        for guard in self.guards[pending.done :]:
            if not _is_no_record(guard):
                guard.log_pending(pending)

    def log_epoch(self, epoch: int, means: Means, /, *, step: int) -> None:
        """Send the means of an epoch to each."""
        for guard in self.guards:
            guard.log_epoch(epoch, means, step=step)

    def log_hyperparams(self, hyperparams: dict[str, Any]) -> None:
        """Send them to each logger that records them."""
        for guard in self.guards:
            guard.log_hyperparams(hyperparams)

    def begin_close(self) -> None:
        """Let each begin to deliver what is left."""
        for guard in self.guards:
            guard.begin_close()

    def close(self, error: BaseException | None = None) -> None:
        """Close each logger that is a `BaseLogger`, and tell others that it is over.

        Whoever is interrupted by Ctrl-C, those behind it are closed all the same.
        """
        self.flush_producers()
        waiting = iter(self.guards)
        try:
            self.begin_close()
            for guard in waiting:
                guard.close(error)
        except KeyboardInterrupt:
            for other in waiting:
                other.close(error)
            raise

    def _ours(self) -> Iterator[BaseLogger]:
        loggers = (guard.logger for guard in self.guards)
        return (logger for logger in loggers if isinstance(logger, BaseLogger))


def as_tee(logger: Loggers | None) -> Tee:
    """A `Tee` of one logger, of a list of them, or of nothing.

    >>> as_tee(None)
    Tee()
    """
    # The class itself: Every and Rename are Tees that may fail, so they get a guard.
    return logger if type(logger) is Tee else Tee(logger)


def _ask_for_places(pending: Pending) -> None:
    pending.places, pending.moments = [None] * len(pending), {}
    pending.covered = None


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
