"""The weights of another group, for a validation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from multi_loss_weighting.weighting._base import weighted_sum

if TYPE_CHECKING:
    from torch import Tensor

    from multi_loss_weighting.statistics._history import History
    from multi_loss_weighting.weighting._base import Weighted

    from ._step import Step


class FollowedWeights:
    """Weighs as the next step of another group would.

    Args:
        leader: The step of that group.
    """

    def __init__(self, leader: Step) -> None:
        self._leader = leader

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        """The sum of the losses times those weights; 1 for a loss that the other has not."""
        is_known = self._leader.reading.reader.names
        weights = self._leader.weighing.next_weights() if is_known else {}
        return weighted_sum(losses, [weights.get(name, 1.0) for name in history.names])

    def hyperparams(self) -> dict[str, Any]:
        """Whose weights they are."""
        return {"of": type(self._leader.weighing.weighting).__name__}
