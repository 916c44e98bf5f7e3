"""Kendall's uncertainty weighting."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._learned import LearnedWeighting


class UncertaintyWeighting(LearnedWeighting):
    """sum_i exp(-s_i) L_i + s_i, each log variance s_i learned from 0 and held in `params`.

    The total may go below zero, since s_i is negative where a loss is below 1: look at the
    losses, not at the total. The parameters belong in an optimizer with
    weight_decay 0.

    Kendall et al., "Multi-Task Learning Using Uncertainty to Weigh Losses", arXiv:1705.07115.
    The full form is that of a regression with the factor 2 left out; the half form is equation 7,
    sum_i 0.5 exp(-s_i) L_i + 0.5 s_i.

    Args:
        num: How many losses there are, K.
        half: Whether to take half of it all, which halves the gradient of the network too.

    Raises:
        ValueError: If `num` is below 1.

    >>> weighting = UncertaintyWeighting(2)
    >>> weighting(1, 2)
    tensor(3., grad_fn=<SumBackward0>)
    """

    def __init__(self, num: int = 2, *, half: bool = False) -> None:
        super().__init__(num, start=0.0)
        self._is_half = half

    def terms_and_weights(self, params: Tensor, losses: Tensor) -> tuple[Tensor, Tensor]:
        """exp(-s) L + s and exp(-s), or half of both."""
        weights = torch.exp(-params)
        terms = torch.addcmul(params, weights, losses)
        return (0.5 * terms, 0.5 * weights.detach()) if self._is_half else (terms, weights.detach())

    def hyperparams(self) -> dict[str, Any]:
        """The settings, as loggers record them."""
        return {"half": self._is_half}
