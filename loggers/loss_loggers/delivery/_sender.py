"""How what waits gets to a logger that may fail."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from loss_loggers.base._base_logger import BaseLogger
from loss_loggers.base._warn import in_short

if TYPE_CHECKING:
    from loss_loggers.base._protocol import Logger

    from ._backoff import Backoff
    from ._queue import DeliveryQueue
    from .on_disk._spool import Item

BATCH = 100

QUICK = 1.0
"""Seconds. A backend that is away may take longer to fail; one that refuses a row does not."""

PROBES = 10
"""Rows that may be refused in a row before the backend counts as away."""


class Sender:
    """Hands rows to a logger, the oldest first: in batches, or one by one after a failure.

    So a row that the logger refuses is found, and does not hold up those behind it.
    """

    def __init__(self, logger: Logger, queue: DeliveryQueue, backoff: Backoff) -> None:
        self._logger = logger
        self._queue = queue
        self._backoff = backoff
        self._log_rows = getattr(logger, "log_rows", None)
        self._log_hyperparams = getattr(logger, "log_hyperparams", None)
        self._settle = logger.settle if isinstance(logger, BaseLogger) else _nothing
        self._limit = BATCH if self._log_rows else 1
        self._one_by_one = 0

    def send(self) -> bool:
        """Deliver all that waits; False if the backend stopped taking it."""
        while items := self._queue.take(1 if self._one_by_one else self._limit):
            start = monotonic()
            error = self._try(items)
            if error is None:
                self._succeeded(len(items))
            elif not self._goes_on(items, start, error):
                self._queue.give_back()
                self._backoff.failed(error, start)
                return False
        return True

    def _try(self, items: list[Item]) -> BaseException | None:
        try:
            self._call(items)
        except BaseException as error:  # anything at all: this is somebody else's code
            return error
        return None

    def _call(self, items: list[Item]) -> None:
        before = _lost(self._logger)
        step, _, content, _ = items[0]
        if step is None:
            if self._log_hyperparams:
                try:
                    self._log_hyperparams(content)
                except NotImplementedError:  # how Fabric's loggers say that they record none
                    self._log_hyperparams = None
        elif self._log_rows:
            self._log_rows([item[:3] for item in items])
        else:
            self._logger.log_metrics(content, step=step)
        self._settle()
        if _lost(self._logger) > before:
            # It has said so itself, and why.
            self._queue.keep(len(items))

    def _succeeded(self, count: int) -> None:
        self._queue.arrived()
        # Written down at once, so that no more than this comes again if the process is killed.
        if self._log_rows or self._queue.log.unsaved >= BATCH:
            self._queue.log.save()
        self._backoff.over()
        self._one_by_one = max(0, self._one_by_one - count)

    def _goes_on(self, items: list[Item], start: float, error: BaseException) -> bool:
        """Whether the backend is there, and it was a row that it refused."""
        if monotonic() - start > QUICK or isinstance(error, ConnectionRefusedError):
            return False  # where nobody listens yet, it says nothing of the row
        if len(items) > 1:
            self._queue.give_back()
            self._one_by_one = len(items)
            return True
        if isinstance(error, ConnectionError | TimeoutError):
            return False  # nor where a connection is lost
        if self._try(items) is None:  # the backend has just come back
            self._succeeded(1)
            return True
        return self._takes_a_later_one(start, error)

    def _takes_a_later_one(self, start: float, error: BaseException) -> bool:
        """Whether one of the next rows goes through; if so, those before it go to the file."""
        for refused in range(1, 1 + PROBES):
            another = self._queue.take_another()
            if not another or monotonic() - start > QUICK:
                return False
            is_row = another[0][0] is not None
            if self._try(another) is None and (is_row or self._log_hyperparams):
                self._queue.keep(refused)
                self._backoff.kept(f"refused a row ({in_short(error)})")
                self._succeeded(refused + 1)
                return True
        return False


def _nothing() -> None:
    """What there is to wait for with a logger of somebody else."""


def _lost(logger: Any) -> int:
    """Rows that one of our loggers took and lost."""
    return logger.failed if isinstance(logger, BaseLogger) else 0
