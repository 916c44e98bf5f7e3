"""The sum of the losses as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import Weighted, checked_weighting

if TYPE_CHECKING:
    from torch import Tensor

    from multi_loss_weighting.statistics._history import History

    from ._base import Weighting


class PlainSum:
    """sum L_i: what a group does that was given no weighting, so that it changes no training."""

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        """The sum of the losses."""
        return Weighted(losses.sum(), [1.0] * len(history.names))


def weighting_or_sum(weighting: Any) -> Weighting:
    """`weighting` itself, if it can weigh; the plain sum for None."""
    return PlainSum() if weighting is None else checked_weighting(weighting)
