"""UW-SO: the uncertainty of each loss in closed form, under a softmax."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from loss_loggers.arguments import checked
from multi_loss_weighting.statistics._array_library import arrays_of

from ._base import Tunable, Weighted, checked_sum, weighted_sum
from ._per_loss import alike, softmax_shares, vector

if TYPE_CHECKING:
    from torch import Tensor

    from multi_loss_weighting.statistics._history import History

LEAST = 1e-8
"""A loss below it counts as large as it."""


class UncertaintySoftmax(Tunable):
    """omega_i = exp(1 / (T L_i)) / sum_j exp(1 / (T L_j)): the smaller loss weighs more.

    1 / L_i is where a learned uncertainty weight (`UncertaintyWeighting`) comes to rest, so there
    is nothing to learn, and the softmax with its temperature keeps one loss from taking all. The
    L_i are those of the step itself, and no gradient goes through the weights. So each rank weighs
    by its own losses. A loss that is 0, missing or not finite counts at its running mean; while
    that is not known it weighs 1/K. A negative loss counts by its magnitude.

    Kirchdorfer et al., "Analytical Uncertainty-Based Loss Weighting in Multi-Task Learning",
    arXiv:2408.07985.

    Args:
        temperature: T, above 0, to be tuned: the higher, the more alike the weights.
        sum_to: What the weights sum to, 1 as in the paper or "K", the number of losses.

    Raises:
        ValueError: If an option is outside its range.

    >>> from multi_loss_weighting import LossGroup
    >>> group = LossGroup(["small", "large"], weighting=UncertaintySoftmax())
    >>> total = group.update({"small": 0.5, "large": 1.0}, do_backwards=False)
    >>> print({name: round(weight, 3) for name, weight in group.weights.items()})
    {'small': 0.731, 'large': 0.269}
    """

    _settings = ("temperature", "sum_to")

    def __init__(self, *, temperature: float = 1.0, sum_to: Literal[1, "K"] = 1) -> None:
        is_right = lambda it: 0 < it < math.inf  # noqa: E731
        self.temperature: float = checked(temperature, is_right, "temperature", "above 0")
        self.sum_to = checked_sum(sum_to)

    @np.errstate(all="ignore")
    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        """The sum of the losses times their weights."""
        size = abs(vector(losses, history))
        where = arrays_of(size).where
        known = (size > 0) & (size < math.inf)
        if history.is_on_device or not known.all():
            size = where(known, size, abs(alike(size, history.mean)))
            known = size < math.inf  # which nan is not
        logits = 1 / (self.temperature * where(size > LEAST, size, LEAST))
        weights = softmax_shares(logits, known)
        return weighted_sum(losses, weights * len(losses) if self.sum_to == "K" else weights)
