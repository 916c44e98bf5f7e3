"""A logger that draws."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

from loss_loggers import BaseLogger

from ._figure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loss_loggers import Metrics, Row


class LiveLogger(BaseLogger):
    """Draw each row in a figure under the cell, about twice a second.

        group = LossGroup(["recon", "kl"], [CsvLogger("runs/vae"), LiveLogger()])

    It keeps what it draws, 24 bytes for a loss and step; for millions of steps record them with
    `CsvLogger` and `show` that.

    Args:
        title: What to call it.
    """

    def __init__(self, title: str = "losses") -> None:
        from ._source import Memory

        self._memory = Memory(title)
        self._figure: Figure | None = None

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Draw one row."""
        self.log_rows([(step, time(), metrics)])

    def log_rows(self, rows: Sequence[Row]) -> None:
        """Draw rows."""
        for step, _, metrics in rows:
            self._take(step, metrics)
        if self._figure is None:
            self._figure = Figure(self._memory)
        self._figure.update()

    def close(self, error: BaseException | None = None) -> None:  # noqa: ARG002
        """Draw what is left."""
        if self._figure is not None:
            self._figure.draw()

    def _take(self, step: int, metrics: Metrics) -> None:
        for metric, loss in metrics.items():
            statistic, _, name = metric.partition("/")
            if statistic == "loss":
                weight = metrics.get(f"weight/{name}", float("nan"))
                self._memory.add(name, step, float(loss), float(weight))
