"""Rows in a list, for notebooks and tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loss_loggers.arguments import checked_count
from loss_loggers.base._base_logger import BaseLogger
from loss_loggers.base._clock import row_time
from loss_loggers.base._epoch_row import epoch_row, is_repeated
from loss_loggers.base._hyperparameters import merge
from loss_loggers.base._pending import Pending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loss_loggers.base._protocol import Means, Metrics, Row


class MemoryLogger(BaseLogger):
    """Keep the rows: all of them, or the last `max_rows`.

    >>> logger = MemoryLogger()
    >>> logger.log_metrics({"loss/G": 0.5, "weight/G": 1.0}, step=0)
    >>> logger.log_metrics({"loss/G": 0.25, "weight/G": 1.0}, step=1)
    >>> logger["loss/G"]
    [(0, 0.5), (1, 0.25)]
    >>> logger.values("loss/G")
    [0.5, 0.25]
    """

    def __init__(self, max_rows: int | None = None) -> None:
        self.rows: list[Row] = []
        self.hyperparameters: dict[str, Any] = {}
        kept = None if max_rows is None else checked_count(max_rows, 1, "max_rows", "rows")
        self._max_rows = kept

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Keep one row, with the current time."""
        self.log_rows([(step, row_time(), metrics)])

    def log_rows(self, rows: Sequence[Row]) -> None:
        """Keep rows, with the times that they bring."""
        self.log_pending(Pending(rows))

    def log_pending(self, pending: Pending) -> None:
        """Keep rows that an interrupted delivery may bring again: each is kept once."""
        if pending.tries > 1 and self._has(pending.noted()):
            return
        kept = []
        for step, moment, metrics in pending:
            # A comprehension would be one more call, at every step.
            kept.append((step, moment, dict(metrics)))
        pending.note = (pending.done, kept)
        self.rows.extend(kept)
        if self._max_rows is not None:
            self._forget(self._max_rows)

    def _forget(self, max_rows: int) -> None:
        del self.rows[:-max_rows]

    def log_epoch(self, epoch: int, means: Means, /, *, step: int) -> None:
        """Keep the means of an epoch as a row; those of an interrupted call come once."""
        is_kept = any(getattr(row, "means", None) is means for _, _, row in reversed(self.rows))
        if not (is_repeated(means) and is_kept):
            self.rows.append((step, row_time(), epoch_row(epoch, means)))
            if self._max_rows is not None:
                self._forget(self._max_rows)

    def _has(self, kept: list[Row] | None) -> bool:
        return any(row is kept[-1] for row in reversed(self.rows)) if kept else False

    def log_hyperparams(self, hyperparams: dict[str, Any]) -> None:
        """Keep hyperparameters, merged as in a run folder: losses unite, a setting is replaced."""
        merge(self.hyperparameters, hyperparams)

    def __getitem__(self, metric: str) -> list[tuple[int, Any]]:
        """The step and value of each row that carries this metric."""
        pairs = [(step, metrics[metric]) for step, _, metrics in self.rows if metric in metrics]
        if not pairs:
            names = sorted({name for _, _, metrics in self.rows for name in metrics})
            msg = f"no row carries {metric!r}; there are {names}"
            raise KeyError(msg)
        return pairs

    def values(self, metric: str) -> list[Any]:
        """The values of one metric, in the order in which they came."""
        return [value for _, value in self[metric]]
