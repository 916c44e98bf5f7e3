"""The losses of a group, once their names are known."""

from __future__ import annotations

import math
from itertools import compress
from typing import TYPE_CHECKING

from multi_loss_weighting.batch._batch import Batch, BatchReader
from multi_loss_weighting.statistics._history import History
from multi_loss_weighting.statistics._many import MANY, ManyHistory
from multi_loss_weighting.statistics._ratio import LossRatio, RatioSettings

from ._loss import NamedLoss, by_name, checked_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from functools import partial

    from multi_loss_weighting._state import State
    from multi_loss_weighting.accelerator._readback import Backlog
    from multi_loss_weighting.distributed._sums import Tallied
    from multi_loss_weighting.statistics._statistics import Statistics

TOTAL = "total"
"""The objective of a group stands in its rows as `loss/total`."""


class Members:
    """K losses in order: read together, recorded together, reported in one row."""

    def __init__(
        self, losses: dict[str, NamedLoss], history: History, ratio: RatioSettings
    ) -> None:
        self.losses = losses
        self.history = history
        self.ratio = ratio
        self.reader = BatchReader({name: loss.max_loss for name, loss in losses.items()})

    def given(self, batch: Batch) -> Iterable[NamedLoss]:
        """The losses that there were in a step."""
        losses = self.losses.values()
        return losses if batch.given is None else compress(losses, batch.given)

    def record(self, batch: Batch, weights: list[float], samples: float, step: int) -> None:
        """Take one step into the statistics."""
        self.history.add(batch.values, batch.given, samples, step)
        self._note(batch, weights)

    def record_means(self, batch: Batch, weights: list[float], tallied: Tallied, step: int) -> None:
        """Take one step into the statistics whose losses are means."""
        self.history.add_means(tallied.losses, tallied.samples, tallied.nonfinite, step)
        self._note(batch, weights)

    def _note(self, batch: Batch, weights: list[float]) -> None:
        for loss, weight in zip(self.losses.values(), weights, strict=True):
            loss._used_weight = weight
        for name in batch.clamped:
            self.losses[name]._clamped += 1

    def row(self, batch: Batch) -> dict[str, float]:
        """What there is to report of one step."""
        row: dict[str, float] = {}
        for loss in self.given(batch):
            row.update(loss.row())
        return row

    def state_dict(self) -> State:
        """Every number that must survive a restart, by the names of the losses."""
        return {name: loss.state_dict() for name, loss in self.losses.items()}

    def load_state_dict(self, state: State) -> None:
        """Continue from `state_dict()`."""
        for name, loss in self.losses.items():
            loss.load_state_dict(state[name])


def make_members(
    names: Iterable[str],
    *,
    ratio: RatioSettings,
    max_loss: float | Mapping[str, float],
    report: tuple[str, ...],
    scope: str,
    make_statistics: partial[Statistics],
    backlog: Backlog,
) -> Members:
    """The losses of a group by their names.

    Raises:
        ValueError: If a name comes twice or is that of the objective, or a setting names another.
    """
    names = checked_names(names)
    if TOTAL in names:
        msg = (
            f"{TOTAL!r} is the objective of the group in its rows: name that loss otherwise, or"
            f" pass over it with ignore={TOTAL!r}"
        )
        raise ValueError(msg)
    limits = dict.fromkeys(names, math.inf) | by_name(max_loss, names, "max_loss")
    history = _make_history(names, ratio, make_statistics)
    losses = {
        name: NamedLoss(
            name, own, max_loss=limits[name], report=report, scope=scope, backlog=backlog
        )
        for name, own in zip(names, history.statistics, strict=True)
    }
    return Members(losses, history, ratio)


def _make_history(
    names: tuple[str, ...], ratio: RatioSettings, make_statistics: partial[Statistics]
) -> History:
    """Both forms give the same numbers; the choice is one of speed."""
    if len(names) >= MANY:
        return ManyHistory(names, ratio, make_statistics.keywords)
    return History(names, [make_statistics(loss_ratio=LossRatio(ratio)) for _ in names])
