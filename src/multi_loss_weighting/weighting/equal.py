"""The mean of the losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._base import Weighted

if TYPE_CHECKING:
    from torch import Tensor

    from multi_loss_weighting.statistics._history import History


class EqualWeighting:
    """sum L_i / K: the same weight for each of K losses, the baseline of every other method.

    A loss that takes no part in a step still counts in K, so that the others keep their weight.
    """

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        """The mean of the losses."""
        count = len(history.names)
        return Weighted(losses.mean(), [1 / count] * count)
