"""The weight of a loss on its own: a number of the user's, then its CoV."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from multi_loss_weighting.statistics._record import RATIO_COUNT, UPDATES, Numbers, summary

from ._base import Weighted, weighted_sum

if TYPE_CHECKING:
    from torch import Tensor

    from multi_loss_weighting.statistics._history import History

ENOUGH_FOR_SPREAD = 2
"""The spread of a single ratio is 0, whatever the loss."""


class OwnWeight:
    """A number, until `warmup` updates came; then C = sigma_l / mu_l of the loss ratio.

    Args:
        weight: The number.
        warmup: How many updates; infinity for never.
    """

    def __init__(self, weight: float, warmup: float) -> None:
        self.weight = weight
        self.warmup = warmup
        self.updates = 0

    def at(self, record: Numbers) -> float:
        """The weight of the next update."""
        if record[UPDATES] < self.warmup or record[RATIO_COUNT] < ENOUGH_FOR_SPREAD:
            return self.weight
        *_, cov_weight = summary(record)
        return cov_weight

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        """The weighting of a group of this one loss."""
        # Asked for from the first step on, since a device keeps only what somebody asks for.
        cov: Any = history.ratio_cov if self.warmup < math.inf else None
        if cov is None or self.updates < self.warmup:
            return weighted_sum(losses, [self.weight])
        is_young = history.ratio_count < ENOUGH_FOR_SPREAD
        if history.is_on_device:
            return weighted_sum(losses, cov.masked_fill_(is_young, self.weight))
        return weighted_sum(losses, [self.weight if is_young[0] else float(cov[0])])
