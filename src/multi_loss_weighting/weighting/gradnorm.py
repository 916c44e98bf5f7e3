"""GradNorm: gradients of one size, and larger where a loss has fallen less."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from loss_loggers.arguments import checked

from ._base import Weighted, weighted_sum
from ._measuring import Measuring

if TYPE_CHECKING:
    from collections.abc import Iterable

    from multi_loss_weighting.statistics._history import History

    from ._per_loss import Numbers

_LEAST = 1e-4
_DECAYS = 0.9, 0.999
_EPSILON = 1e-8


class GradNorm(Measuring):
    """w_i by descent on sum_i |w_i g_i - G r_i^alpha|, G being the mean of the w_j g_j.

    g_i is the norm of the gradient of loss i on the parameters, and r_i = (L_i(t) / L_i(0)) over
    the mean of these: how far the loss has fallen, against the others. G and r_i count as constants
    in the descent, which is Adam's. The weights begin at 1 and are brought back to their sum after
    each step of it; none goes below 1e-4. Since a step of Adam has one size, the weights move by at
    most about `lr` at a measurement.

    The weights of a step come from the steps before, as in the paper; ranks take the mean of their
    norms. A loss that is missing, not finite or without gradient keeps its weight.

    Chen et al., "GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask
    Networks", arXiv:1711.02257, equations 1 and 2.

    Args:
        place: Parameters, best those of the last layer that all losses share, or one tensor; None
            for a tensor that is set before each step (`weighting.place = output`).
        alpha: How much more a loss weighs that has fallen less; 0 for gradients of one size.
        lr: The learning rate of the weights.
        every: Steps from one measurement to the next. One costs a backward a loss.

    Raises:
        TypeError: If a parameter is no tensor.
        ValueError: If no parameter requires a gradient, or an option is outside its range.

    >>> from multi_loss_weighting import LossGroup
    >>> parameter = torch.ones(2, requires_grad=True)
    >>> group = LossGroup(["strong", "weak"], weighting=GradNorm([parameter], lr=0.1))
    >>> for step in range(2):
    ...     total = group.update({"strong": parameter[0] * 8, "weak": parameter[1]})
    >>> print({name: round(weight, 3) for name, weight in group.weights.items()})
    {'strong': 0.9, 'weak': 1.1}
    """

    _settings = ("alpha", "lr", "every")

    def __init__(
        self,
        place: Iterable[Tensor] | Tensor | None,
        *,
        alpha: float = 1.5,
        lr: float = 0.025,
        every: int = 1,
    ) -> None:
        super().__init__(place, every, weight=1.0, momentum=0.0, square=0.0, updates=0.0)
        self.alpha: float = checked(alpha, math.isfinite, "alpha", "a finite number")
        self.lr: float = checked(lr, lambda it: 0 < it < math.inf, "lr", "above 0")

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        """The sum of the losses times their weights; measures their gradients where that is due.

        Raises:
            RuntimeError: If the place is not set, none of the losses depends on it, or a reentrant
                activation checkpoint hides gradients.
        """
        self._measure(losses, history)
        weights = self._known(history.names, losses.device)["weight"]
        return weighted_sum(losses, weights.clone())

    def _moved(self, old: Numbers, norms: Tensor, losses: Tensor, history: History) -> Numbers:
        """Weights nearer to what the gradients of a step say."""
        usable = (norms > 0) & losses.isfinite()
        first = torch.as_tensor(history.first, dtype=norms.dtype, device=norms.device)
        fallen = losses.to(norms).abs() / first.abs().clamp_min(torch.finfo(norms.dtype).tiny)
        fallen = fallen / torch.where(usable, fallen, 0.0).sum() * usable.sum()
        weight, (slow, slower) = old["weight"], _DECAYS
        own = torch.where(usable, weight * norms, 0.0)
        wanted = own.sum() / usable.sum() * fallen**self.alpha
        slope = (own - wanted).sign() * norms
        momentum = slow * old["momentum"] + (1 - slow) * slope
        square = slower * old["square"] + (1 - slower) * slope * slope
        updates = old["updates"] + 1
        size = (square / (1 - slower**updates)).sqrt() + _EPSILON
        moved = weight - self.lr * (momentum / (1 - slow**updates)) / size
        moved = torch.where(usable, moved.clamp_min(_LEAST), weight)
        moved = torch.where(
            usable, moved * (weight * usable).sum() / (moved * usable).sum(), weight
        )
        new = {"weight": moved, "momentum": momentum, "square": square, "updates": updates}
        return {field: torch.where(usable, new[field], old[field]) for field in old}
