"""The sum of the losses as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._base import Weighted

if TYPE_CHECKING:
    from torch import Tensor

    from multi_loss_weighting.statistics._history import History


class PlainSum:
    """sum L_i: what a group does that was given no weighting, so that it changes no training."""

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        """The sum of the losses."""
        return Weighted(losses.sum(), [1.0] * len(history.names))
