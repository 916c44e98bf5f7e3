"""How fast a run goes, and whether it still does."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from math import inf, nan
from statistics import median
from time import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loss_dashboard._typing import Values

PATIENCE = 10.0
"""A run without a row for so many seconds, or for 5 times its usual interval, is stale."""

RECENT = 100
"""From so many of the last steps the pace is told."""


class Throughput:
    """The times of the last steps.

    Attributes:
        patience: after so many seconds without a row the run is stale.
        last_step: the largest one; None before the first.

    >>> import numpy as np
    >>> pace = Throughput()
    >>> pace.add(np.array([0.0, 1.0, 2.0]), np.array([10.0, 10.5, 11.0]))
    >>> pace.steps_per_second, pace.patience, pace.state("running")
    (2.0, 10.0, 'stale')
    """

    def __init__(self) -> None:
        self._steps: deque[tuple[float, float]] = deque(maxlen=RECENT)
        self.patience = PATIENCE
        self._first: float | None = None
        self._last = nan
        self.last_step: int | None = None

    @property
    def steps_per_second(self) -> float:
        """The mean over the last steps; NaN before the second one."""
        if len(self._steps) < 2:
            return nan
        (first, start), (last, end) = self._steps[0], self._steps[-1]
        return (last - first) / (end - start) if end > start else nan

    def add(self, steps: Values, times: Values, since: float = -inf) -> None:
        """Take the steps and times of new lines, of which several belong to one step.

        Args:
            steps: The steps.
            times: The times.
            since: When the run was last resumed: the pause before it is no part of the pace.
        """
        import numpy as np

        if not len(times):
            return
        if self._first is None:
            self._first = float(times[0])
        largest = int(steps.max())
        self.last_step = largest if self.last_step is None else max(self.last_step, largest)
        if not self._last >= since and (is_after := times >= since).any():
            self._steps.clear()
            steps, times = steps[is_after.argmax() :], times[is_after.argmax() :]
        self._last = float(times[-1])
        # A validation may record at a step of its own, far behind that of the training.
        last = self._steps[-1][0] if self._steps else -inf
        is_new = steps > np.maximum.accumulate(np.concatenate([[last], steps[:-1]]))
        recent = zip(steps[is_new][-RECENT:], times[is_new][-RECENT:], strict=True)
        self._steps.extend((float(step), float(moment)) for step, moment in recent)
        intervals = [after - before for (_, before), (_, after) in pairwise(self._steps)]
        self.patience = max(PATIENCE, 5 * median(intervals)) if intervals else PATIENCE

    def state(self, recorded: str) -> str:
        """What has become of the run, by the state that it recorded and the times of its rows."""
        if recorded not in ("running", ""):
            return recorded
        if not self._steps:
            return "waiting"
        return "stale" if self.silent > self.patience else "running"

    @property
    def silent(self) -> float:
        """Seconds since the last row; NaN before the first one."""
        return time() - self._last

    def elapsed(self, info: dict[str, Any], state: str) -> float:
        """Seconds from the start to the end: the recorded one, now, or the last row.

        Rows may be older than the run that they were written into later. An end before the start is
        none.
        """
        starts = [moment for moment in (info.get("start"), self._first) if moment]
        start = min(starts, default=nan)
        end = time() if self.state(state) in ("running", "waiting") else self._last
        recorded = info.get("end") or end
        return float((recorded if recorded >= start else end) - start)
