"""The guard around one logger, so that it can neither stop training nor slow it down."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from loss_loggers.base._base_logger import BaseLogger
from loss_loggers.base._epoch_row import epoch_row
from loss_loggers.base._faults import is_the_users
from loss_loggers.base._pending import taker_of
from loss_loggers.base._protocol import check_logger
from loss_loggers.base._warn import warn

from ._ending import await_end, end, failure, forget_end

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loss_loggers.base._pending import Pending
    from loss_loggers.base._protocol import Logger, Means, Metrics, Row

COOLDOWN_FACTOR = 10
"""A call that fails after d seconds keeps rows from its logger for 10 d: it costs 10 % at most."""


class Guard(BaseLogger):
    """One logger that may fail: it warns once, counts, and training goes on.

    >>> import warnings
    >>> class Broken:
    ...     def log_metrics(self, metrics, /, *, step):
    ...         raise OSError("no route to host")
    >>> guard = Guard(Broken())
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     guard.log_metrics({"loss/G": 0.5}, step=0)
    >>> guard.failed, guard.last_error
    (1, OSError('no route to host'))

    Only Ctrl-C passes, and what a signal handler of yours raises while the logger is called. The
    last calls to a logger of another project (`save`, `flush`, `finalize(status)`) are made by
    `close`, or at the end of the process.
    """

    _awaits_end = False
    """Whether the logger is of another project, and still to be told of its end."""

    def __init__(self, logger: object) -> None:
        self.logger = check_logger(logger)
        self.last_error: BaseException | None = None
        self._failed = self._withheld = 0
        self._silent_until = 0.0
        self._warned = False

    @property
    def logger(self) -> Logger:
        """The logger that it guards."""
        return self._logger

    @logger.setter
    def logger(self, logger: Logger) -> None:
        self.leave_end()  # what takes the place of a logger sees to it
        self._logger = logger
        self._take = taker_of(logger)
        self._awaits_end = await_end(logger)

    @property
    def failed(self) -> int:
        """Rows that were lost here or, if the logger is one of ours, inside it."""
        return self._failed + (self.logger.failed if isinstance(self.logger, BaseLogger) else 0)

    @property
    def withheld(self) -> int:
        """Rows that were not tried, because the logger had just failed slowly."""
        return self._withheld + (self.logger.withheld if isinstance(self.logger, BaseLogger) else 0)

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Hand on one row, if the logger can take it."""
        start = perf_counter()
        if start < self._silent_until:
            self._withheld += 1
            return
        try:
            self._logger.log_metrics(metrics, step=step)
        except BaseException as error:  # anything at all: this is somebody else's code
            self._note(error, start)
            self._failed += 1

    def log_rows(self, rows: Sequence[Row]) -> None:
        """Hand on rows in one call, or one by one to a logger that knows no batches."""
        log_rows = getattr(self.logger, "log_rows", None)
        if log_rows is None:
            for step, _, metrics in rows:
                self.log_metrics(metrics, step=step)
        elif perf_counter() < self._silent_until:
            self._withheld += len(rows)
        elif not self._try(log_rows, rows):
            self._failed += len(rows)

    def log_pending(self, pending: Pending) -> None:
        """Hand on rows that an interrupted delivery may bring again."""
        start = perf_counter()
        if start < self._silent_until:
            self._withheld += len(pending)
            return
        try:
            (self._take or self._hand_on)(pending)
        except BaseException as error:  # anything at all: this is somebody else's code
            self._note(error, start)
            self._failed += len(pending)

    def log_epoch(self, epoch: int, means: Means, /, *, step: int) -> None:
        """Hand on the means of an epoch, as a row to a logger that knows no epochs."""
        log_epoch = getattr(self.logger, "log_epoch", None)
        if log_epoch is None:
            self.log_metrics(dict(epoch_row(epoch, means)), step=step)
        elif perf_counter() < self._silent_until:
            self._withheld += 1
        elif not self._try(partial(log_epoch, step=step), epoch, means):
            self._failed += 1

    def log_hyperparams(self, hyperparams: dict[str, Any]) -> None:
        """Hand on what the losses are and how they are weighted, to a logger that records it."""
        log_hyperparams = getattr(self.logger, "log_hyperparams", None)
        if log_hyperparams is None:
            return

        def log(hyperparams: dict[str, Any]) -> None:
            with suppress(NotImplementedError):  # how Fabric's loggers say that they record none
                log_hyperparams(hyperparams)

        start, before = perf_counter(), self._silent_until
        self._try(log, hyperparams)
        if perf_counter() - start < 1:
            # Refused at once, which says nothing about rows: some take no value twice.
            self._silent_until = before

    def try_again(self) -> None:
        """Hand on the next row, however slowly the last one failed."""
        self._silent_until = 0.0

    def forget_from(self, step: int | None) -> None:
        """Hand it on to a logger of ours."""
        if isinstance(self.logger, BaseLogger):
            self._try(self.logger.forget_from, step)

    def begin_close(self) -> None:
        """Hand it on to a logger of ours."""
        if isinstance(self.logger, BaseLogger):
            self._try(self.logger.begin_close)

    def close(self, error: BaseException | None = None) -> None:
        """Close a logger of ours, make the last calls to another; a run that you opened goes on."""
        if self._awaits_end or isinstance(self.logger, BaseLogger):
            self.leave_end()
            self._try(end, self.logger, error)

    def leave_end(self) -> None:
        """Make no last calls to a logger of another project: a framework that owns it does."""
        if self._awaits_end:
            self._awaits_end = False
            forget_end(self._logger)

    def _hand_on(self, pending: Pending) -> None:
        """To a logger that does not know whether it got a row: the interrupted one comes again."""
        if pending.late and hasattr(self.logger, "log_rows"):
            self.log_rows([(step, time, dict(metrics)) for step, time, metrics in pending])
            return
        for (step, _, metrics), _ in pending.remaining():
            # A copy, for it may add to the row, which others are still to get.
            self.log_metrics(dict(metrics), step=step)

    def _try(self, call: Callable[..., object], *arguments: object) -> bool:
        start = perf_counter()
        try:
            call(*arguments)
        except BaseException as error:  # anything at all: this is somebody else's code
            self._note(error, start)
            return False
        return True

    def _note(self, error: BaseException, start: float) -> None:
        if is_the_users(error):
            raise error
        now = perf_counter()
        self._silent_until = now + COOLDOWN_FACTOR * (now - start)
        self.last_error = error
        if not self._warned:
            self._warned = True
            warn(f"{failure(self.logger, error)}. Training goes on; later failures are counted.")
