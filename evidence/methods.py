"""The rows of the evidence: how the losses of a network are weighed, one method an entry."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from torchjd.aggregation import PCGrad, UPGrad
from torchjd.scalarization import DWA, Random

from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    EqualWeighting,
    GradientShareWeighting,
    GradNorm,
    NormalizedWeighting,
    PlainSum,
    ReLoBRaLo,
    SoftAdapt,
    StaticWeighting,
    TargetWeighting,
    TorchJDWeighting,
    UncertaintySoftmax,
    UncertaintyWeighting,
    Weighting,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from .problems import Problem


class Setting(NamedTuple):
    """What a method is made for: one network and its losses."""

    problem: Problem
    place: Sequence[Tensor]
    """Where the gradients of the losses are measured."""
    seed: int
    weights: Mapping[str, float]
    """Of a constant."""


@dataclass(frozen=True)
class Method:
    """One way to weigh, with the package's defaults unless its title says otherwise."""

    name: str
    title: str
    make: Callable[[Setting], Weighting]
    every: int = 0
    """Steps from one look at the gradients of the losses to the next; 0 for never."""
    moves: bool = True
    """Whether its weights move by what it sees, so that their mean is worth a try."""
    epoch: int = 0
    """Steps after which its own `step()` is told that an epoch is over; 0 for never."""
    fits: Callable[[Problem], bool] = lambda problem: True  # noqa: ARG005
    """Whether it is a method for a problem."""
    is_dear: bool = False
    """Whether the standard run has it on some problems only."""
    version: int = 1
    """To be raised when its code changes: fits of older code count no longer."""


_EVERY = 10
"""The default of `GradientShareWeighting`."""

_FEW = 8
"""What looks at each gradient in each step is not for more losses than that."""


def _has_few_losses(problem: Problem) -> bool:
    return len(problem.losses) <= _FEW


def _by_losses(name: str, title: str, make: Callable[[], Weighting], **more: Any) -> Method:
    return Method(name, title, lambda _: make(), **more)


def _learned(name: str, title: str, make: Callable[[int], Weighting]) -> Method:
    return Method(name, title, lambda it: make(len(it.problem.losses)))


def _is_equation(problem: Problem) -> bool:
    return "residual" in problem.losses


def _annealing(it: Setting, *, weighted: bool) -> Weighting:
    """Learning-rate annealing, as its paper has it or as its authors' code."""
    return GradientShareWeighting(it.place, reference=it.problem.losses[0], weighted=weighted)


def _fixed(name: str, title: str, fits: Callable[[Problem], bool]) -> Method:
    return Method(name, title, lambda it: StaticWeighting(it.weights), moves=False, fits=fits)


def _aggregator(name: str, title: str, make: Callable[[], Any]) -> Method:
    return Method(
        name,
        title,
        lambda it: TorchJDWeighting(make(), it.place, seed=it.seed),
        every=1,
        fits=_has_few_losses,
        is_dear=True,
    )


ALL = (
    _by_losses("plain", "plain sum", PlainSum, moves=False),
    _by_losses("equal", "`EqualWeighting`", EqualWeighting, moves=False),
    _fixed("constant", "best constant of a grid", lambda problem: bool(problem.constants)),
    _fixed("frozen", "frozen mean weights of the best method", lambda _: True),
    Method(
        "random",
        "random weights (TorchJD)",
        lambda it: TorchJDWeighting(Random(), seed=it.seed),
        moves=False,
    ),
    _by_losses("normalized", "`NormalizedWeighting`", NormalizedWeighting),
    Method(
        "shares",
        "`GradientShareWeighting`",
        lambda it: GradientShareWeighting(it.place),
        every=_EVERY,
    ),
    Method(
        "annealing",
        "`GradientShareWeighting(reference=…)`",
        partial(_annealing, weighted=False),
        every=_EVERY,
    ),
    Method(
        "weighted",
        "`GradientShareWeighting(…, weighted=True)`",
        partial(_annealing, weighted=True),
        every=_EVERY,
        fits=_is_equation,
    ),
    Method(
        "gradnorm",
        "`GradNorm(every=5, lr=0.1)`",
        lambda it: GradNorm(it.place, every=5, lr=0.1),
        every=5,
        fits=_has_few_losses,
    ),
    _learned("automatic", "`AutomaticWeightedLoss`", AutomaticWeightedLoss),
    _learned("uncertainty", "`UncertaintyWeighting`", UncertaintyWeighting),
    _by_losses("softmax", "`UncertaintySoftmax`", UncertaintySoftmax),
    _by_losses("cov", "`CoVWeighting`", CoVWeighting),
    _by_losses(
        "cov_k", '`CoVWeighting(sum_to="K")`', partial(CoVWeighting, sum_to="K"), is_dear=True
    ),
    Method("relobralo", "`ReLoBRaLo`", lambda it: ReLoBRaLo(seed=it.seed)),
    _by_losses("softadapt", "`SoftAdapt`", SoftAdapt),
    Method("dwa", "DWA (TorchJD)", lambda it: TorchJDWeighting(DWA(), seed=it.seed), epoch=25),
    Method(
        "target",
        "`TargetWeighting`",
        lambda it: TargetWeighting(it.problem.targets),
        fits=lambda problem: bool(problem.targets),
    ),
    _aggregator("upgrad", "UPGrad (TorchJD)", UPGrad),
    _aggregator("pcgrad", "PCGrad (TorchJD)", PCGrad),
)
"""The plain sum comes first, since all others are held against it."""

METHODS = {method.name: method for method in ALL}
