"""What a logger is: one method, and two more where it has them."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

Metrics = dict[str, Any]
Row = tuple[int, float, Metrics]
"""A step, the Unix time in seconds when it was recorded, and its metrics."""


@runtime_checkable
class Logger(Protocol):
    """Anything that takes a row of metrics for a step.

    A Comet `Experiment`, the `mlflow` module and Lightning's loggers fit as they are.
    """

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> object:
        """Record one row: a number for each `{statistic}/{loss}`."""
        ...
