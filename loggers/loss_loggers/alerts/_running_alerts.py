"""The alerts of a run, row by row."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, Any

from loss_loggers.base._hyperparameters import merge
from loss_loggers.base._values import is_total

from ._losses import LossValues, stopped_among
from ._rules import groups_in
from ._weights import GroupWeights

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ._rules import Alert

Line = tuple[LossValues, str, str]
"""A loss that a row tells of, and the names of its value and of its weight there."""

_MANY = 64


class RunningAlerts:
    """What deserves a look in the rows so far; what it remembers does not grow with them.

    >>> alerts = RunningAlerts()
    >>> for step, loss in enumerate([0.5, nan, 0.25]):
    ...     alerts.add(step, 1e9 + step, {"loss/G": loss})
    >>> [alert.text for alert in alerts.now()]
    ['G was NaN or infinite at step 1']
    """

    def __init__(self) -> None:
        self._settings: dict[str, Any] = {}
        self._losses: dict[str, LossValues] = {}
        self._scopes: dict[str, list[LossValues]] = {}
        self._lines: dict[tuple[str, ...], list[Line]] = {}
        self._groups: list[GroupWeights] = []

    def add_settings(self, settings: dict[str, Any]) -> None:
        """Learn how the losses are weighted."""
        merge(self._settings, settings)
        self._regroup()

    def add(self, step: int, time: float, row: Mapping[str, float]) -> None:
        """Take one row."""
        lines = self._lines.get(tuple(row)) or self._new_lines(row)
        for loss, value, weight in lines:
            loss.add(step, time, row.get(value), row.get(weight, nan))
        for group in self._groups:
            group.add(step)

    def now(self) -> list[Alert]:
        """The alerts of the rows so far, in the order in which they began."""
        return sorted(self._now(), key=lambda alert: alert.step)

    def _now(self) -> Iterator[Alert]:
        losses = self._losses.values()
        yield from filter(None, (loss.nonfinite() for loss in losses))
        yield from filter(None, (loss.spike() for loss in losses))
        for scope in self._scopes.values():
            if len(scope) > 1:
                yield from stopped_among(scope)
        for group in self._groups:
            yield from group.extreme()
        for group in self._groups:
            yield from group.capped()
        yield from filter(None, (group.still() for group in self._groups))

    def _new_lines(self, row: Mapping[str, float]) -> list[Line]:
        """The losses of rows that carry these metrics, worked out once."""
        names = dict.fromkeys(metric.partition("/")[2] for metric in row)
        for name in names:
            if f"loss/{name}" in row and name not in self._losses and not is_total(name):
                self._join(name)
        if len(self._lines) >= _MANY:
            self._lines.clear()
        lines = [
            (self._losses[name], f"loss/{name}", f"weight/{name}")
            for name in names
            if name in self._losses
        ]
        self._lines[tuple(row)] = lines
        return lines

    def _join(self, name: str) -> None:
        self._losses[name] = loss = LossValues(name)
        self._scopes.setdefault(name.rpartition("/")[0], []).append(loss)
        # What has no line of a loss so far may have one from now on.
        self._lines.clear()
        self._regroup()

    def _regroup(self) -> None:
        """Groups whose losses are the same go on; one with another loss begins anew with it."""
        known = {tuple(loss.name for loss in group.losses): group for group in self._groups}
        self._groups = []
        for how in groups_in(self._settings, self._losses):
            losses = [self._losses[name] for name in how.losses]
            group = known.get(tuple(how.losses)) or GroupWeights(how, losses)
            group.how = how
            self._groups.append(group)
