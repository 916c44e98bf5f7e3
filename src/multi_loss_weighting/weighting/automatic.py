"""AutomaticWeightedLoss: uncertainty weights whose penalty cannot go below zero."""

from __future__ import annotations

import torch
from torch import Tensor

from ._learned import LearnedWeighting


class AutomaticWeightedLoss(LearnedWeighting):
    """sum_i 0.5 / p_i^2 L_i + ln(1 + p_i^2), each p_i learned from 1.

    Its `params` belong in an optimizer with weight_decay 0, which would pull them to 0 and so
    their weights to infinity. With positive losses the total is never negative.

    Liebel & Koerner, "Auxiliary Tasks in Multi-task Learning", arXiv:1805.06334, equation 3.

    Args:
        num: How many losses there are, K.

    Raises:
        ValueError: If `num` is below 1.

    >>> awl = AutomaticWeightedLoss(2)
    >>> awl(1, 2)
    tensor(2.8863, grad_fn=<SumBackward0>)
    """

    def __init__(self, num: int = 2) -> None:
        super().__init__(num, start=1.0)

    def terms_and_weights(self, params: Tensor, losses: Tensor) -> tuple[Tensor, Tensor]:
        """0.5 / p^2 L + ln(1 + p^2), and 0.5 / p^2."""
        squares = params * params
        terms = torch.addcdiv(torch.log1p(squares), losses, squares, value=0.5)
        # Torch takes a Python number to a tensor first, which costs more than this sum.
        detached = squares.detach()
        return terms, (detached + detached).reciprocal_()
