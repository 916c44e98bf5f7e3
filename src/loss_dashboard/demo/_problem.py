"""What the demo asks of a problem to train it, to record it and to say what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn
    from torch.optim import Optimizer

    Weight = float | Callable[[int], float]


class Problem(Protocol):
    """A network with several losses, and the data that it learns from."""

    @property
    def network(self) -> nn.Module:
        """What is trained."""

    @property
    def static(self) -> Mapping[str, Weight]:
        """For each loss the weight that somebody who knows the problem would choose."""

    @property
    def measured(self) -> str:
        """What `quality` is measured on."""

    @property
    def picture(self) -> tuple[str, str]:
        """The name of the file that `draw` writes, and what is to see there."""

    def losses(self) -> dict[str, Tensor]:
        """The losses of the next batch."""

    def optimizers(self, learned: dict[str, Any]) -> Sequence[Optimizer]:
        """What to step after each backward, with the learned weights in one of them."""

    def quality(self) -> dict[str, float]:
        """How well the network does, by what is measured."""

    def draw(self, output: Path) -> None:
        """Draw what was learned."""
