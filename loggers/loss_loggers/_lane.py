"""One logger with a queue and a thread of its own."""

from __future__ import annotations

import os
from time import time
from typing import TYPE_CHECKING, Any

from ._base import BaseLogger
from ._epochs import EpochRow
from ._ledger import Ledger, warn
from ._outbox import Outbox
from ._remote import target_of
from ._worker import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ._logger import Logger, Metrics, Row
    from ._pending import Pending

_NUMBERS = frozenset((float, int))


class Lane(BaseLogger):
    """Takes a row, makes its values plain numbers, puts it into the queue, and returns."""

    def __init__(self, logger: Logger, path: Path | None, max_rows: int, interval: float) -> None:
        name = getattr(logger, "__name__", type(logger).__qualname__)
        self.logger = logger
        self._ledger = Ledger(name, target_of(logger), path)
        self._outbox = Outbox(self._ledger, max_rows)
        self._worker = Worker(logger, self._outbox, interval)
        self._last = time()
        self._is_closed = self._said_foreign = False
        self._pid = os.getpid()

    @property
    def target(self) -> str:
        """The run that the logger delivers to."""
        return target_of(self.logger)

    @property
    def path(self) -> Path:
        """The file of the rows that were not delivered."""
        return self._ledger.path

    @property
    def delivered(self) -> int:
        """Rows that arrived."""
        return self._ledger.delivered

    @property
    def pending(self) -> int:
        """Rows that wait, or are under way."""
        return len(self._outbox)

    @property
    def failed(self) -> int:
        """Rows that were not delivered: those in the file, and those that found no place there."""
        return self._ledger.kept + self._ledger.lost

    def keep_in(self, folder: Path) -> None:
        """Keep what is not delivered in this run folder."""
        self._ledger.keep_in(folder)

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Take one row, with the time of now."""
        self._put(int(step), time(), _plain(metrics))

    def log_rows(self, rows: Sequence[Row]) -> None:
        """Take rows, with the times that they bring."""
        for step, moment, metrics in rows:
            self._put(int(step), moment, _plain(metrics))

    def log_pending(self, pending: Pending) -> None:
        """Take rows with their times; the one during which Ctrl-C came may come twice."""
        for step, moment, metrics in pending.remaining():
            self._put(int(step), moment, _plain(metrics))

    def log_hyperparams(self, hyperparams: dict[str, Any]) -> None:
        """Take hyperparameters, which are delivered in their turn."""
        from ._hyperparameters import plain

        self._put(None, time(), plain(hyperparams))

    def ask(self) -> int:
        """Let the thread deliver now; the number of this request."""
        return 0 if self._is_foreign() else self._worker.ask()

    def wait(self, request: int, deadline: float) -> None:
        """Wait until it was met, or tried."""
        if not self._is_foreign():
            self._worker.wait(request, deadline)

    def finish(self, error: BaseException | None = None) -> None:
        """Take no more rows; the thread delivers those that it has, and ends."""
        if not self._is_closed and not self._is_foreign():
            self._is_closed = True
            self._worker.finish(error)

    def join(self, deadline: float) -> None:
        """Wait for that end; what is left then goes to the file."""
        if not self._is_foreign():
            self._worker.join(deadline)

    def _put(self, step: int | None, moment: float, content: dict[str, Any]) -> None:
        if self._is_closed or os.getpid() != self._pid:
            self._refuse(step, moment, content)
            return
        has_room = self._outbox.put((step, moment, content, self._last))
        self._last = moment
        if not has_room:
            self._worker.outage.kept("does not take rows as fast as they come")
        if not self._worker.is_started:
            self._worker.start()

    def _refuse(self, step: int | None, moment: float, content: dict[str, Any]) -> None:
        if not self._is_foreign():
            self._ledger.keep([(step, moment, content, self._last)])
            self._last = moment
            self._worker.outage.kept("was closed")
            return
        self._ledger.lost += 1
        if not self._said_foreign:
            self._said_foreign = True
            warn(
                f"{self._ledger.name} delivers nothing here: it belongs to the process that forked "
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
        return float(value)
    except Exception:  # every array library raises another one; the logger may know what it is
        return value
