"""Statistics of each loss for a while: since the last log, or of one evaluation."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from multi_loss_weighting import Statistics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


class Window:
    """Statistics of each loss since the last `take`.

    >>> import torch
    >>> window = Window()
    >>> window.add({"kl": torch.tensor(1.0)})
    >>> window.add({"kl": torch.tensor(3.0)})
    >>> window.take()["kl"].mean, window.take()
    (2.0, {})
    """

    def __init__(self) -> None:
        self._losses: dict[str, Statistics] = defaultdict(Statistics)

    def add(self, losses: Mapping[str, Tensor], samples: float = 1) -> None:
        """Take in one value of each loss."""
        for name, loss in losses.items():
            self._losses[name].add(loss.item(), samples)

    def take(self) -> dict[str, Statistics]:
        """The statistics so far; new ones begin."""
        taken = dict(self._losses)
        self._losses.clear()
        return taken
