"""AutomaticWeightedLoss: uncertainty weights whose penalty cannot go below zero."""

from __future__ import annotations

import torch
from torch import Tensor

from ._learned import LearnedWeighting, checked_count


class AutomaticWeightedLoss(LearnedWeighting):
    """sum_i 0.5 / p_i^2 L_i + ln(1 + p_i^2), each p_i learned from 1.

    Its `params` belong in an optimizer with weight_decay 0, which would pull them to 0 and so
    their weights to infinity. With positive losses the total is never negative.

    Liebel & Koerner, "Auxiliary Tasks in Multi-task Learning", arXiv:1805.06334, equation 3.

    Args:
        num: How many losses there are, K.

    Raises:
        ValueError: If there is not one loss or more.

    >>> awl = AutomaticWeightedLoss(2)
    >>> awl(1, 2)
    tensor(2.8863, grad_fn=<SumBackward0>)
    """

    def __init__(self, num: int = 2) -> None:
        super().__init__(torch.ones(checked_count(num)))

    def weights_and_penalty(self) -> tuple[Tensor, Tensor]:
        """0.5 / p^2 and ln(1 + p^2)."""
        squares = self.params**2
        return 0.5 / squares, torch.log1p(squares)
