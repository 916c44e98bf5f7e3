"""Hold a loss at a target by its weight."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from loss_loggers.arguments import checked, checked_kind
from multi_loss_weighting.statistics._array_library import Array, arrays_of

from ._base import Weighted, weighted_sum
from ._per_loss import ByPastLosses, Numbers

if TYPE_CHECKING:
    from multi_loss_weighting.statistics._history import History

FAR = 1e30
"""How many times its target a loss may be away from it: an infinite distance times 0 is nan."""


class TargetWeighting(ByPastLosses):
    r"""sum_i lambda_i L_i, where the weight of a loss with a target grows while it is above it.

    With m_i the moving average of the loss up to the step before and e_i = (m_i - target_i) /
    |target_i| (for a target of 0 the difference itself), each step takes I_i to I_i + rate e_i, and

    - lambda_i = exp(I_i + proportional e_i), which is never negative: the loss is to be *at most*
      the target. Below it the weight falls, and the other losses have their way.
    - lambda_i = I_i + proportional e_i with `equal=True`, which may be negative: then the loss is
      pushed up to its target, too. Let the other losses be ones that do so gladly.

    `proportional=0` is the multiplier of GECO (I moves in proportion to the constraint); above 0 it
    is a proportional-integral controller, which swings less. I stays within `limits`, so that it
    does not wind up while the target is out of reach. A loss without a target weighs 1. A step
    without a loss, or with one that is not finite, leaves its weight as it is.

    For the KL of a VAE, the temperature of SAC (the entropy as a loss with a negative target), or
    a penalty on the KL to a reference policy.

    Rezende & Viola, "Taming VAEs", arXiv:1810.00597 (GECO); Shao et al., "ControlVAE",
    arXiv:2004.05988 (proportional-integral).

    Args:
        targets: From the name of a loss to its target.
        rate: How fast the weight answers: at twice the target its logarithm grows by so much a
            step.
        proportional: How much it answers at once.
        smoothing: How much of the moving average stays from step to step, 0 to 1.
        start: The weight at first.
        limits: The smallest and the largest weight; None for 1e-4 to 1e4, or for -1e4 to 1e4 with
            `equal=True`.
        equal: Whether to hold the loss at its target from below as well.
        **more: Targets, by keyword.

    Raises:
        ValueError: If there is no target, one is not finite, or an option is outside its range.

    >>> from multi_loss_weighting import LossGroup
    >>> group = LossGroup(["recon", "kl"], weighting=TargetWeighting(kl=2.0, rate=0.1))
    >>> for kl in (6.0, 6.0, 2.0):
    ...     total = group.update({"recon": 1.0, "kl": kl}, do_backwards=False)
    >>> print({name: round(weight, 3) for name, weight in group.weights.items()})
    {'recon': 1.0, 'kl': 1.492}
    """

    _settings = ("targets", "rate", "proportional", "smoothing", "start", "limits", "equal")

    def __init__(
        self,
        targets: Mapping[str, float] | None = None,
        /,
        *,
        rate: float = 0.01,
        proportional: float = 0.0,
        smoothing: float = 0.9,
        start: float = 1.0,
        limits: tuple[float, float] | None = None,
        equal: bool = False,
        **more: float,
    ) -> None:
        if targets is not None:
            checked_kind(targets, Mapping, "targets")
        self.targets = {
            name: _target(one, name) for name, one in {**(targets or {}), **more}.items()
        }
        checked(self.targets, bool, "targets", "one or more", ": TargetWeighting(kl=2.0)")
        is_positive = lambda it: 0 < it < math.inf  # noqa: E731
        self.rate: float = checked(rate, is_positive, "rate", "above 0")
        is_right = lambda it: 0 <= it < math.inf  # noqa: E731
        self.proportional: float = checked(proportional, is_right, "proportional", "0 or more")
        self.smoothing: float = checked(
            smoothing, lambda it: 0 <= it < 1, "smoothing", "0 to below 1"
        )
        self.equal = equal
        least = -math.inf if equal else 0.0
        is_pair = lambda it: len(it) == 2 and least < it[0] < it[1] < math.inf  # noqa: E731
        needed = "two numbers, the smaller first" + ("" if equal else " and above 0")
        usual = (-1e4 if equal else 1e-4, 1e4)
        own = usual if limits is None else limits
        lowest, highest = checked(own, is_pair, "limits", needed)
        self.limits = (lowest, highest)
        is_within = lambda it: lowest <= it <= highest  # noqa: E731
        self.start: float = checked(start, is_within, "start", f"within limits {self.limits}")
        super().__init__(mean=math.nan, integral=self._as_integral(start), limited=0.0)

    def _as_integral(self, weight: float) -> float:
        return weight if self.equal else math.log(weight)

    @property
    def limited(self) -> dict[str, int]:
        """How many steps the weight of each loss would have left `limits`."""
        counts = self._counts("limited")
        return {name: counts[name] for name in counts if name in self.targets}

    @np.errstate(all="ignore")
    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        """The sum of the losses times the weights after the step before.

        Raises:
            ValueError: If there is a target for a loss that the group does not have, and no other
                can come.
        """
        names = history.names
        if history.are_given and not self.targets.keys() <= set(names):
            unknown = ", ".join(name for name in self.targets if name not in names)
            msg = f"targets must be of the losses {', '.join(names)}, got targets for {unknown}"
            raise ValueError(msg)
        numbers = self._numbers(losses, history)
        xp = arrays_of(numbers["mean"])
        error, has_target = self._error(numbers["mean"], names)
        error = xp.where(error == error, error, 0.0)  # not nan
        answer = numbers["integral"] + self.proportional * error
        weights = (answer if self.equal else xp.exp(answer)).clip(*self.limits)
        return weighted_sum(losses, xp.where(has_target, weights, 1.0))

    def _error(self, mean: Array, names: tuple[str, ...]) -> tuple[Array, Array]:
        """How far each loss is above its target, and which have one."""
        target: Array = np.array([self.targets.get(name, math.nan) for name in names])
        if isinstance(mean, Tensor):
            target = torch.from_numpy(target).to(mean, non_blocking=True)
        scale = arrays_of(mean).where(target == 0, 1.0, abs(target))
        return ((mean - target) / scale).clip(-FAR, FAR), target == target

    def _taken_in(self, old: Numbers, now: Array, came: Array, history: History) -> Numbers:
        where = arrays_of(now).where
        is_first = old["mean"] != old["mean"]  # nan
        mean = where(is_first, now, now + self.smoothing * (old["mean"] - now))
        error, has_target = self._error(mean, history.names)
        moved = old["integral"] + self.rate * error
        within = moved.clip(*map(self._as_integral, self.limits))
        moves = came & has_target
        return {
            "mean": where(came, mean, old["mean"]),
            "integral": where(moves, within, old["integral"]),
            "limited": old["limited"] + (moves & (within != moved)),
        }

    def hyperparams(self) -> dict[str, Any]:
        """The settings, as loggers record them."""
        return super().hyperparams() | {"limits": [*self.limits]}


def _target(target: float, name: str) -> float:
    return float(checked(target, math.isfinite, f"the target of {name}", "a finite number"))
