"""SoftAdapt: the loss that falls most slowly weighs most."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from loss_loggers.arguments import checked, checked_count
from multi_loss_weighting.statistics._array_library import Array, arrays_of

from ._base import Weighted, checked_sum, weighted_sum
from ._per_loss import ByPastLosses, Numbers, softmax_shares

if TYPE_CHECKING:
    from torch import Tensor

    from multi_loss_weighting.statistics._history import History


class SoftAdapt(ByPastLosses):
    """alpha_i = exp(beta s_i) / sum_j exp(beta s_j), s_i the rate at which loss i changes.

    s_i is the mean of the last `every` values minus that of the `every` before, per step; with
    `every=1` it is L_i(t) - L_i(t-1), as in the paper. Until a loss has a rate it weighs 1/K, and
    the others share the rest. A step without a loss, or with one that is not finite, is not
    counted for it.

    Heydari, Thompson & Mehmood, "SoftAdapt: Techniques for Adaptive Loss Weighting of Neural
    Networks with Multi-Part Loss Functions", arXiv:1912.12355, section 3.1.

    Args:
        beta: How much more the slower loss weighs; below 0 the faster one does.
        every: From how many values each mean is; the rates of batches are mostly noise.
        normalize: Whether the rates are taken over the sum of their sizes. Without it losses in
            large units rule.
        by_size: Whether the weights are times the losses' own means ("loss-weighted").
        sum_to: What the weights sum to, 1 as in the paper or "K", the number of losses.

    Raises:
        ValueError: If an option is outside its range.

    >>> from multi_loss_weighting import LossGroup
    >>> group = LossGroup(["falls", "stays"], weighting=SoftAdapt(beta=1.0, every=1))
    >>> for step in range(3):
    ...     total = group.update({"falls": 3.0 - step, "stays": 1.0}, do_backwards=False)
    >>> print({name: round(weight, 3) for name, weight in group.weights.items()})
    {'falls': 0.269, 'stays': 0.731}
    """

    _settings = ("beta", "every", "normalize", "by_size", "sum_to")

    def __init__(
        self,
        *,
        beta: float = 0.1,
        every: int = 5,
        normalize: bool = True,
        by_size: bool = False,
        sum_to: Literal[1, "K"] = 1,
    ) -> None:
        self.beta: float = checked(beta, math.isfinite, "beta", "a finite number")
        self.every: int = checked_count(every, 1, "every", "values")
        self.normalize, self.by_size = normalize, by_size
        self.sum_to = checked_sum(sum_to)
        super().__init__(total=0.0, count=0.0, mean=math.nan, rate=math.nan)

    @np.errstate(all="ignore")
    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        """The sum of the losses times the weights after the step before."""
        numbers = self._numbers(losses, history)
        rate, xp = numbers["rate"], arrays_of(numbers["rate"])
        known = rate == rate  # not nan
        if self.normalize:
            size = xp.sum(xp.where(known, abs(rate), 0.0))
            rate = xp.where(size > 0, rate / size, xp.where(known, 0.0, rate))
        logits = self.beta * rate
        if self.by_size:
            logits = logits + xp.log(abs(numbers["mean"]))
        weights = softmax_shares(logits, known)
        return weighted_sum(losses, weights * len(losses) if self.sum_to == "K" else weights)

    def _taken_in(self, old: Numbers, now: Array, came: Array, history: History) -> Numbers:  # noqa: ARG002
        where = arrays_of(now).where
        total = where(came, old["total"] + now, old["total"])
        count = old["count"] + came
        is_full = count >= self.every
        mean = where(is_full, total / self.every, old["mean"])
        return {
            "total": where(is_full, 0.0, total),
            "count": where(is_full, 0.0, count),
            "mean": mean,
            "rate": where(is_full, (mean - old["mean"]) / self.every, old["rate"]),
        }
