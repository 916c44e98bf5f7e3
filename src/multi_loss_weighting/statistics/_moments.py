"""Mean, spread and extremes of numbers that arrive one by one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multi_loss_weighting._state import State

_KEPT = ("count", "samples", "_mean", "_squares", "_minimum", "_maximum")


class Moments:
    """Mean, variance, minimum and maximum of finite numbers, each seen once (Welford, float64).

    `count` is how many numbers came, `samples` the sum of their sample counts. Without any number
    the mean, the variance and the extremes are nan.

    >>> moments = Moments()
    >>> moments.add(1.0)
    >>> moments.add(3.0)
    >>> moments.mean, moments.variance, moments.maximum
    (2.0, 1.0, 3.0)
    """

    __slots__ = _KEPT

    def __init__(self) -> None:
        self.count = 0
        self.samples: float = 0
        self._mean = 0.0
        self._squares = 0.0
        self._minimum = math.inf
        self._maximum = -math.inf

    def add(self, value: float, samples: float = 1) -> None:
        """Take in one finite number, the average over `samples` samples."""
        self.count += 1
        before = self.samples
        self.samples = total = before + samples
        delta = value - self._mean
        step = delta * samples / total
        self._mean += step
        # Not delta * (value - mean): rounding could make that negative.
        self._squares += before * delta * step
        if value < self._minimum:
            self._minimum = value
        if value > self._maximum:
            self._maximum = value

    @property
    def mean(self) -> float:
        """Mean, weighted by sample counts where they were given."""
        return self._mean if self.count else math.nan

    @property
    def variance(self) -> float:
        """Population variance: the mean squared distance from the mean."""
        # With sample counts, rounding can leave the squares an ulp below 0.
        return self._squares / self.samples if self.count else math.nan

    @property
    def std(self) -> float:
        """Standard deviation, the square root of `variance`."""
        return math.sqrt(self.variance)

    @property
    def cov(self) -> float:
        """Coefficient of variation, std / |mean|; infinite where only the mean is 0."""
        if self._mean == 0:
            return math.inf if self._squares else math.nan
        return self.std / abs(self._mean)

    @property
    def sum(self) -> float:
        """Sum of value times samples."""
        return self._mean * self.samples

    @property
    def minimum(self) -> float:
        """Smallest value."""
        return self._minimum if self.count else math.nan

    @property
    def maximum(self) -> float:
        """Largest value."""
        return self._maximum if self.count else math.nan

    def state_dict(self) -> State:
        """Every number that the next one depends on."""
        return {name: getattr(self, name) for name in _KEPT}

    def load_state_dict(self, state: State) -> None:
        """Continue from `state_dict()`."""
        for name in _KEPT:
            setattr(self, name, state[name])
