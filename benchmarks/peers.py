"""What we are measured against: the arithmetic that others published, written from its formulas."""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
import torch
from torch import Tensor, nn


class Welford:
    """Mean and sum of squares in Python floats: the least that tracking a loss can cost."""

    __slots__ = ("count", "mean", "squares")

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.squares = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        delta = value - self.mean
        self.mean += delta / self.count
        self.squares += delta * (value - self.mean)


class PublishedCoV:
    """CoV-Weighting with the mean of all steps, in the style in which its authors published it.

    Statistics are torch operations on vectors [K], the objective is a Python sum over the losses.
    It has no guards and no record.
    """

    def __init__(self, count: int, dtype: torch.dtype = torch.float32) -> None:
        self.step = 0
        self.weights = torch.full((count,), 1 / count, dtype=dtype)
        self.mean_loss = torch.zeros(count, dtype=dtype)
        self.mean_ratio = torch.zeros(count, dtype=dtype)
        self.squares = torch.zeros(count, dtype=dtype)
        self.std = torch.zeros(count, dtype=dtype)

    def __call__(self, *losses: Tensor) -> Tensor:
        values = torch.tensor([loss.item() for loss in losses], dtype=self.weights.dtype)
        ratio = values / self.mean_loss if self.step else torch.ones_like(values)
        if self.step > 1:
            cov = self.std / self.mean_ratio
            self.weights = cov / cov.sum()
        self.step += 1

        kept = 1 - 1 / self.step
        mean_ratio = kept * self.mean_ratio + (1 - kept) * ratio
        self.squares += (ratio - self.mean_ratio) * (ratio - mean_ratio)
        self.mean_ratio = mean_ratio
        self.std = torch.sqrt(self.squares / self.step + 1e-8)
        self.mean_loss = kept * self.mean_loss + (1 - kept) * values

        return reduce(add, [self.weights[index] * loss for index, loss in enumerate(losses)])


class PublishedAutomaticWeightedLoss(nn.Module):
    """AutomaticWeightedLoss, sum 0.5 / p^2 L + log(1 + p^2), one loss after the other."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.params = nn.Parameter(torch.ones(count))

    def forward(self, *losses: Tensor) -> Tensor:
        terms = [
            0.5 / self.params[index] ** 2 * loss + torch.log(1 + self.params[index] ** 2)
            for index, loss in enumerate(losses)
        ]
        return reduce(add, terms)


class WholeHistory:
    """A tracker that keeps every loss, and takes mean and spread anew over all of them."""

    def __init__(self, age: int = 0) -> None:
        self.values = np.linspace(1, 2, age)
        self.ratios = np.linspace(1, 2, age)
        self.cov = 1.0

    def add(self, loss: Tensor) -> Tensor:
        """The loss times its weight, and the loss in the history."""
        weighted = loss * self.cov
        value = loss.item()
        mean = self.values.mean() if len(self.values) else value
        self.values = np.append(self.values, value)
        self.ratios = np.append(self.ratios, value / mean)
        self.cov = float(self.ratios.std() / self.ratios.mean())
        return weighted
