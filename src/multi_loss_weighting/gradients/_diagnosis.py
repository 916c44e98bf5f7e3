"""Diagnosis: whether losses differ in size or pull against each other, and what to try."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import torch

from loss_loggers import Advice, Measured, advise
from loss_loggers.arguments import checked_count

from ._diagnostics import compare
from ._per_loss import gradients_of, watched

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

_MEASUREMENTS = 20


class Diagnosis:
    """What the gradients of the losses say about how to weigh them.

    `LossGroup.diagnose` makes one. It fills while training goes on; print it after that.

    Args:
        parameters: What to differentiate by.
        steps: How many steps to look at.
        every: Steps from one measurement to the next; None for some 20 measurements in all.

    Attributes:
        measured: What was measured so far: values, norms and cosines by name.

    Raises:
        TypeError: If a parameter is no tensor.
        ValueError: If none of them requires a gradient, or a number of steps is no whole number
            above 0.
    """

    def __init__(
        self, parameters: Iterable[Tensor] | Tensor, *, steps: int, every: int | None = None
    ) -> None:
        self.steps: int = checked_count(steps, 1, "steps", "steps")
        own = max(1, steps // _MEASUREMENTS) if every is None else every
        self.every: int = checked_count(own, 1, "every", "steps")
        self.measured: list[Measured] = []
        self._watched = watched(parameters)
        self._start: int | None = None
        self._last: int | None = None

    @property
    def advice(self) -> Advice:
        """What the measurements so far say."""
        return advise(self.measured)

    def __str__(self) -> str:
        """Two sentences: what was found, and what to try first."""
        if not self.measured:
            return (
                "Nothing was measured yet. Train some steps: weigh or update with losses that have"
                " a gradient, outside of torch.compile."
            )
        return str(self.advice)

    def __repr__(self) -> str:
        """One line."""
        return f"Diagnosis({len(self.measured)} measurements, {self.advice.finding})"

    def look(self, losses: Tensor, names: tuple[str, ...], step: int) -> bool:
        """Measure the losses [K] of a step if it is their turn; whether all steps were seen."""
        if not (losses.requires_grad and torch.is_grad_enabled()):
            return False
        if self._start is None:
            self._start = step
        seen = step - self._start
        if seen >= self.steps:
            return True
        if seen % self.every == 0 and step != self._last:
            self._last = step
            self._measure(losses, names)
        return False

    def _measure(self, losses: Tensor, names: tuple[str, ...]) -> None:
        matrix = gradients_of(losses, names, self._watched)
        numbers, count = compare(matrix).tolist(), len(names)
        self.measured.append(
            Measured(
                dict(zip(names, losses.detach().tolist(), strict=True)),
                dict(zip(names, numbers[:count], strict=True)),
                dict(zip(combinations(names, 2), numbers[2 * count :], strict=True)),
            )
        )
