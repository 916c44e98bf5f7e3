"""What is known of the values of one loss, row by row."""

from __future__ import annotations

from math import inf, isfinite, nan
from typing import TYPE_CHECKING

from ._rules import (
    MEAN_OF,
    SPIKE,
    has_stopped,
    nonfinite_alert,
    spike_alert,
    stopped_alert,
    usual_intervals,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ._rules import Alert


class LossValues:
    """The values of a loss so far, in a few numbers.

    Attributes:
        loss: The last one; NaN if that row had none.
        weight: The last one, likewise.
        last: The step and the time of its last row.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.loss = self.weight = nan
        self.first = self.last = (-inf, -inf)
        self._lines = self._finite = 0
        self._sum = 0.0
        self._is_signed = False
        self._lost = self._spikes = 0
        self._first_lost = 0
        self._first_spike = (0, nan, nan)

    def add(self, step: int, time: float, loss: float | None, weight: float) -> None:
        """Take a row; a loss of None is one that the row does not have."""
        self._lines += 1
        self.last = (step, time)
        if self._lines == 1:
            self.first = self.last
        self.loss, self.weight = nan if loss is None else loss, weight
        if loss is None:
            return
        self._is_signed |= loss < 0
        if isfinite(loss):
            self._add_finite(step, loss)
        else:
            self._first_lost = self._first_lost if self._lost else step
            self._lost += 1

    def nonfinite(self) -> Alert | None:
        """Whether it was NaN or infinite."""
        return nonfinite_alert(self.name, self._first_lost, self._lost) if self._lost else None

    def spike(self) -> Alert | None:
        """Whether it was far over its running mean."""
        if not self._spikes:
            return None
        step, value, mean = self._first_spike
        return spike_alert(
            self.name, step, self._spikes, value=value, mean=mean, is_signed=self._is_signed
        )

    def has_stopped(self, last_step: float, last_time: float) -> bool:
        """Whether it stopped, if others of its scope came last then."""
        gap = last_step - self.last[0], last_time - self.last[1]
        return has_stopped(gap, usual_intervals(self._lines, self.first, self.last))

    def _add_finite(self, step: int, loss: float) -> None:
        size = abs(loss)
        mean = self._sum / self._finite if self._finite >= MEAN_OF else nan
        if mean > 0 and size > SPIKE * mean:
            self._first_spike = self._first_spike if self._spikes else (step, loss, mean)
            self._spikes += 1
        self._sum += size
        self._finite += 1


def stopped_among(scope: Iterable[LossValues]) -> Iterator[Alert]:
    """Those losses of a scope that came regularly and no longer do, while others do."""
    losses = list(scope)
    last_step = max(loss.last[0] for loss in losses)
    last_time = max(loss.last[1] for loss in losses)
    for loss in losses:
        # Most losses came just now, and need no more thought than that.
        if loss.last[0] < last_step and loss.has_stopped(last_step, last_time):
            yield stopped_alert(loss.name, int(loss.last[0]))
