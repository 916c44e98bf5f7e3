"""What there is to read of one loss of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from multi_loss_weighting.statistics._record import LossRecord
from multi_loss_weighting.statistics._view import LossView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._step import Step


def place_of(name: str, names: Sequence[str]) -> int:
    """Where a loss is among those of a group, which may have lost it by a load.

    Raises:
        KeyError: If it is not among them.
    """
    if name not in names:
        known = ", ".join(names) or "not known before the first step"
        msg = f"name must be that of a loss of this group ({known}), got {name!r}"
        raise KeyError(msg)
    return names.index(name)


class OneOfMany(LossView):
    """One loss of a group: waits for what is on its way, then reads its record."""

    def __init__(self, step: Step, name: str) -> None:
        self.name = name
        self._step = step

    @property
    def _now(self) -> LossRecord:
        records = self._step.recorder.wait()
        return LossRecord._make(records[self._place])

    @property
    def _place(self) -> int:
        return place_of(self.name, self._step.recorder.state.losses.names)

    @property
    def is_behind(self) -> bool:
        """Whether losses are still on their way from an accelerator, for which reading waits."""
        return bool(self._step.recorder.readback)

    @property
    def weight(self) -> float:
        """The weight of the next step."""
        place = self._place
        return [*self._step.weighing.next_weights().values()][place]

    @property
    def max_loss(self) -> float:
        """Above it the loss is scaled down to it."""
        return self._step.recorder.state.losses.limits[self._place]

    def __repr__(self) -> str:
        return (
            f"LossView({self.name!r}, loss={self.value:.4g}, mean={self.mean:.4g},"
            f" std={self.std:.4g}, last_weight={self.last_weight:.4g})"
        )
