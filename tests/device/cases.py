"""Losses and weightings for the tests of an accelerator. There is none here.

A meta tensor has no value, so whatever looks at one raises. And with `log_every` losses on the CPU
take the way of those on an accelerator, so that its numbers can be compared.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tests.methods import methods
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    EqualWeighting,
    History,
    LossGroup,
    StaticWeighting,
    UncertaintyWeighting,
    Weighted,
    weighted_sum,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

NEVER = 10**6


NAMES = ["a", "b", "c"]


class InverseMean:
    """A weighting of a user's own, from the history."""

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        spread = history.std + history.variance + history.cov + history.maximum - history.minimum
        return weighted_sum(losses, (1 + 0 * spread) / history.mean)


class RatioSpread:
    """A weighting of a user's own, from the ratios of the history."""

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        mean, std = torch.as_tensor(history.ratio_mean), torch.as_tensor(history.ratio_std)
        return weighted_sum(losses * mean, std)


class OwnWeights(torch.nn.Module):
    """Learned weights of a user's own."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = torch.nn.Parameter(torch.ones(1))

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        return Weighted(losses.dot(self.weights), self.weights)


WEIGHTINGS: dict[str, Callable[[], Any]] = {
    "plain": lambda: None,
    "equal": EqualWeighting,
    "schedule": lambda: StaticWeighting(a=lambda step: step / 100),
    "cov": CoVWeighting,
    "cov that forgets": lambda: CoVWeighting(decay=0.98, sum_to="K"),
    "cov of few": lambda: CoVWeighting(warmup=5, spike=3.0, patience=2),
    "automatic": lambda: AutomaticWeightedLoss(3),
    "uncertainty": lambda: UncertaintyWeighting(3),
    **methods("a b c"),
}


class Dispatched(TorchDispatchMode):
    """Counts the operations that torch hands to a device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def meta_losses(count: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    parameter = torch.ones((), device="meta", dtype=dtype, requires_grad=True)
    return {f"loss {index}": parameter * index for index in range(count)}


def on_meta(weighting: Any) -> Any:
    return weighting.to("meta") if isinstance(weighting, torch.nn.Module) else weighting


def wild(steps: int = 400, seed: int = 0) -> NDArray[np.float64]:
    """Losses with everything that can happen to them."""
    random = np.random.default_rng(seed)
    losses = random.lognormal(0, 0.5, (steps, 3)) * [1, 1e-3, 50]
    losses[:3, 2] = 0
    losses[20, 1], losses[21, 2], losses[22:25, 0] = math.nan, math.inf, -math.inf
    losses[30, 0], losses[40, 0], losses[50, 2] = 1e9, -3, 0
    losses[100:, 1] *= 1e5
    losses[200:212, 2] = 1e-9
    return losses


def rows_of(group: LossGroup, losses: Iterable[Any], dtype: torch.dtype) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for step, row in enumerate(losses):
            tensors = dict(zip(NAMES, torch.tensor(row, dtype=dtype).unbind(), strict=True))
            if step % 7 == 3:
                del tensors["b"]
            group.update(tensors, do_backwards=False, extra={"lr": 1 / (1 + step)})


def weights_from(group: LossGroup, losses: Iterable[Any]) -> list[Any]:
    totals = []
    for row in losses:
        tensors = dict(zip(NAMES, torch.tensor(row).unbind(), strict=True))
        totals.append(group.update(tensors, do_backwards=False).item())
    return [totals, group.get_extra_state().tolist()]
