"""What weightings have in common that measure gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._per_loss import Remembering

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch
    from torch import Tensor

    from multi_loss_weighting.gradients._norms import GradientNorms


class Measuring(Remembering):
    """A weighting that goes by `norms`, those of the gradients of the losses at one place."""

    norms: GradientNorms

    @property
    def place(self) -> tuple[Tensor, ...] | None:
        """Where the gradients are taken; to be set before each step if it is a new tensor."""
        return self.norms.place

    @place.setter
    def place(self, place: Iterable[Tensor] | Tensor) -> None:
        self.norms.set_place(place)

    def to_average(self, names: tuple[str, ...], device: torch.device) -> Tensor:
        """The norms of this step, of which ranks take the mean."""
        return self.norms.to_average(names, device)

    def averaged(self, names: tuple[str, ...], means: Tensor) -> None:
        """Take over the mean norms of all ranks."""
        self.norms.averaged(names, means)

    def expect(self, names: tuple[str, ...]) -> None:
        """These losses will come."""
        super().expect(names)
        self.norms.expect(names)

    def forget(self) -> None:
        """Be as new, since the group forgets its losses."""
        super().forget()
        self.norms.forget()

    def state_dict(self) -> dict[str, Any]:
        """What it remembers of each loss, and when each was measured."""
        return {"of_losses": super().state_dict(), "of_norms": self.norms.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`, with the same numbers bit for bit.

        Raises:
            ValueError: If it is the state of something else; nothing has changed.
        """
        if set(state) != {"of_losses", "of_norms"}:
            msg = f"the state must be that of a {type(self).__name__}, got {[*state]}"
            raise ValueError(msg)
        super().load_state_dict(state["of_losses"])
        self.norms.load_state_dict(state["of_norms"])
