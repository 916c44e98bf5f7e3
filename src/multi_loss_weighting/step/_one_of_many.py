"""What there is to read of one loss of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from multi_loss_weighting.statistics._record import LossRecord
from multi_loss_weighting.statistics._view import LossView

if TYPE_CHECKING:
    from ._step import Step


class OneOfMany(LossView):
    """One loss of a group: waits for what is on its way, then reads its record."""

    def __init__(self, step: Step, name: str) -> None:
        self.name = name
        self._step = step

    @property
    def _now(self) -> LossRecord:
        records = self._step.recorder.wait()
        return LossRecord._make(records[self._step.recorder.state.losses.names.index(self.name)])

    @property
    def is_behind(self) -> bool:
        """Whether losses are still on their way from an accelerator, for which reading waits."""
        return bool(self._step.recorder.readback)

    @property
    def weight(self) -> float:
        """The weight of the next step."""
        return self._step.weighing.next_weights()[self.name]

    @property
    def max_loss(self) -> float:
        """Above it the loss is scaled down to it."""
        losses = self._step.recorder.state.losses
        return losses.limits[losses.names.index(self.name)]

    def __repr__(self) -> str:
        return (
            f"LossView({self.name!r}, loss={self.value:.4g}, mean={self.mean:.4g},"
            f" std={self.std:.4g}, last_weight={self.last_weight:.4g})"
        )
