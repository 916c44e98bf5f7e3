"""Off the thread that trains: for a backend that is slow, or that may be away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loss_loggers.base._paths import folder_at
from loss_loggers.base._process import finalizer
from loss_loggers.wrappers.tee import Tee

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    from loss_loggers.base._protocol import Loggers


class Background(Tee):
    """Hand rows to a thread that delivers them, so that training never waits for a backend.

    Rows wait in a queue, and the thread delivers what came in each `interval`, in order. A backend
    that fails is tried again after 1, 2, 4, … up to 60 s; one warning says that it is down, another
    that it is back. What finds no room in the queue, what the backend refuses and what is left at
    the end goes to `undelivered`, a file that `sync` reads. Beside a `CsvLogger` in a `Tee` that
    file is in the folder of the run, where `losses sync` finds it.

        Tee(CsvLogger("runs/gan"), Background(MLflowLogger(run.info.run_id)))

    A row arrives at least once: after a call that failed halfway some of it may come again. In a
    forked process nothing is delivered. Each logger has a queue and a thread of its own; `Every`
    and `Rename` in a `Background` work before the queue, on the thread that trains.

    Args:
        logger: One logger, or several. A Comet experiment is none of them: its current step is
            shared with the code that trains.
        undelivered: A file to keep rows in, beside no record or elsewhere; without either it is in
            the working directory. Where another `Background` holds it, it gets a number.
        max_rows: How many rows may wait. 10 000 rows of 30 numbers are 20 MB.
        interval: Seconds between two deliveries, and before the first new attempt.
        timeout: Seconds that `flush`, `close` and the end of the interpreter wait at most.

    >>> from loss_loggers import MemoryLogger
    >>> memory = MemoryLogger()
    >>> with Background(memory) as logger:
    ...     logger.log_metrics({"loss/G": 0.5}, step=0)
    >>> memory["loss/G"], logger.delivered, logger.failed
    ([(0, 0.5)], 1, 0)
    """

    is_bound_to_process = True

    def __init__(
        self,
        logger: Loggers,
        *,
        undelivered: str | PathLike[str] | None = None,
        max_rows: int = 10_000,
        interval: float = 1.0,
        timeout: float = 10.0,
    ) -> None:
        # Imported when it is used, for it is half of what importing this package would cost.
        from ._queued_loggers import QueuedLoggers

        super().__init__(logger)
        path = None if undelivered is None else folder_at(undelivered)
        self._loggers = QueuedLoggers(self, path, max_rows, interval, timeout)
        self._timeout = timeout
        self._finalizer = finalizer(self, self._loggers.release)

    @property
    def in_its_place(self) -> object:
        """What takes rows in its place: its queue, if it has but one, past a second guard."""
        queues = [guard.logger for guard in self.guards]
        return queues[0] if queues == [*self._loggers] and len(queues) == 1 else self

    @property
    def delivered(self) -> int:
        """Rows that arrived, summed over the loggers."""
        return sum(logger.delivered for logger in self._loggers)

    @property
    def pending(self) -> int:
        """Rows that wait or are under way, summed likewise."""
        return sum(logger.pending for logger in self._loggers)

    @property
    def undelivered(self) -> tuple[Path, ...]:
        """The file of each logger for the rows that did not arrive; it is there if it is needed."""
        return tuple(logger.path for logger in self._loggers)

    def flush(self, timeout: float | None = None) -> bool:
        """Deliver what waits now; whether nothing waits any more.

        A backend that is down is tried once.
        """
        return self._loggers.flush(self._timeout if timeout is None else timeout)

    def begin_close(self) -> None:
        """Begin to deliver what is left; from now on `timeout` runs."""
        self._loggers.begin()

    def close(self, error: BaseException | None = None, *, timeout: float | None = None) -> None:
        """Deliver what waits, and end; what is left after `timeout` goes to the file."""
        self.flush_producers()
        self._loggers.close(error, timeout)
        self._finalizer.detach()
