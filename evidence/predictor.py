"""What 100 steps of the plain sum say about which weighting will help: written down beforehand.

The bounds are those of `LossGroup.diagnose`, and so is the advice: there is one rule. Two claims
follow from it for each problem, before any of the reported fits:

- by the bounds alone: above `FAR` times, from the smallest gradient norm to the largest,
  `GradientShareWeighting` beats the plain sum; below `NEAR` times it does not; between, no claim.
- by the advice: what `diagnose` tells a user to try first beats the plain sum; where it says
  "nothing", neither `NormalizedWeighting` nor `GradientShareWeighting` does.

To beat is what it is in all tables: an interval below 1, by 2 % or more.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

from loss_loggers import Advice, Measured, advise
from loss_loggers.alerts import FAR, NEAR

from .stack import gradient_products, split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

STEPS = 100
EVERY = 5

TRIED = {
    "one size": ("normalized",),
    "gradient shares": ("shares",),
    "a conflict method": ("upgrad",),
    "nothing": ("normalized", "shares"),
}
"""The methods that each advice is about."""


class Observer:
    """Measures the gradients of all seeds in the first steps, and asks for advice."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._measured: list[Measured] = []

    def look(self, losses: Tensor, shared: Sequence[Tensor], step: int) -> None:
        """Measure the losses [seeds, K] of a step if it is its turn."""
        if step >= STEPS or step % EVERY:
            return
        norms, cosines = split(gradient_products(losses, shared))
        pairs = [*combinations(range(len(self._names)), 2)]
        for values, sizes, angles in zip(losses.tolist(), norms.tolist(), cosines, strict=True):
            self._measured.append(
                Measured(
                    dict(zip(self._names, values, strict=True)),
                    dict(zip(self._names, sizes, strict=True)),
                    {(self._names[i], self._names[j]): float(angles[i, j]) for i, j in pairs},
                )
            )

    def advice(self) -> Advice:
        """What the measurements of all seeds say together."""
        return advise(self._measured)


def claim_by_bounds(advice: Mapping[str, Any]) -> bool | None:
    """Whether gradient shares will beat the plain sum; None for no claim."""
    if advice["ratio"] > FAR:
        return True
    return False if advice["ratio"] < NEAR else None


def claim_by_advice(advice: Mapping[str, Any]) -> tuple[tuple[str, ...], bool]:
    """The methods that the advice is about, and whether one of them will beat the plain sum."""
    return TRIED[advice["advice"]], advice["advice"] != "nothing"
