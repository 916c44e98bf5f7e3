"""The example: the losses of a real network, weighed by a group, in one backward a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from multi_loss_weighting import LossGroup

    from ._problem import Problem


def train(problem: Problem, group: LossGroup, steps: int) -> Iterator[int]:
    """Train the network; yields the number of steps done after each."""
    optimizers = problem.optimizers(group.parameter_group())
    for step in range(steps):
        group.update(problem.losses())  # {"G": …, "D": …, "E": …}: weighs, one backward, one row
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        yield step + 1
