"""Hand rows to the loggers, with an introduction before the first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loss_loggers import Loggers, as_tee

if TYPE_CHECKING:
    from collections.abc import Callable

    from loss_loggers import Row


class Reporter:
    """Sends rows to the loggers, and before the first one what `introduce` says of the losses."""

    def __init__(self, logger: Loggers, introduce: Callable[[], dict[str, Any]]) -> None:
        self.logger = as_tee(logger)
        self._introduce = introduce
        self._is_introduced = False

    def report(self, row: dict[str, float], step: int) -> None:
        """Send one row."""
        if not self._is_introduced:
            self._is_introduced = True
            self.logger.log_hyperparams(self._introduce())
        self.logger.log_metrics(row, step=step)

    def report_rows(self, rows: list[Row]) -> None:
        """Send rows that come late, each with its own time."""
        if not self._is_introduced:
            self._is_introduced = True
            self.logger.log_hyperparams(self._introduce())
        self.logger.log_rows(rows)


def make_reporter(
    logger: Loggers | None, introduce: Callable[[], dict[str, Any]]
) -> Reporter | None:
    """A reporter, or None where there is no logger, so that no row is made for nobody."""
    return None if logger is None else Reporter(logger, introduce)
