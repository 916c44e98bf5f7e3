"""What a problem is: stacked networks, their losses at a step, and a metric outside the losses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor


class Task(Protocol):
    """The networks of several seeds, stacked: each tensor has the seeds as its first dimension.

    A seed's numbers depend on that seed alone (its own generators for weights, data order and
    noise), so a network trains the same in a stack of one and in a stack of ten.
    """

    parameters: Sequence[Tensor]
    """What is trained: leaves of shape `(seeds, ...)`."""

    shared: Sequence[Tensor]
    """The parameters that all losses reach: where gradient methods measure."""

    def losses(self, step: int) -> Mapping[str, Tensor]:
        """The losses of this step's batch, each of shape `(seeds,)`, with gradients."""
        ...

    def metric(self) -> Tensor:
        """The number that counts, of shape `(seeds,)`, smaller is better; it is no loss."""
        ...

    def collapsed(self) -> Tensor:
        """True for a seed that found a trivial solution, such as a network that gives 0."""
        ...


@runtime_checkable
class InParts(Protocol):
    """A task whose metric is the mean of some errors."""

    def parts(self) -> Mapping[str, Tensor]:
        """Each of these errors, of shape `(seeds,)`."""
        ...


@dataclass(frozen=True)
class Problem:
    """One problem, how long it is trained, and what is expected of weights there."""

    name: str
    title: str
    family: str  # "weights should matter", "might matter" or "should not matter"
    losses: tuple[str, ...]
    metric: str
    make: Callable[[Sequence[int]], Task]
    steps: int  # of the standard run
    full_steps: int  # of `--full`
    rates: tuple[float, ...]  # learning rates of Adam to choose from, small to large
    constants: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """The grid of the best constant: weights for each loss, the first of them the plain 1."""
    targets: Mapping[str, float] = field(default_factory=dict)
    """Values to hold losses at by `TargetWeighting`, such as the KL of a VAE."""
    measures: str = ""
    """How near the metric is to the losses, in a sentence."""
    version: int = 1
    """To be raised when the code of the problem changes: fits of older code count no longer."""
