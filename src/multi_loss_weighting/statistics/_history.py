"""What is known of the K losses of a group, for its weighting as vectors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ._ratio import EPSILON

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from ._statistics import Statistics

Vector = NDArray[Any]


class History:
    """The statistics of K losses up to the step before, a vector [K] for each.

    The order is that of `names`. What no loss has shown yet is nan.

    Attributes:
        names: The names of the losses.
        statistics: The `Statistics` of each loss.
        step: The step that is being weighed, from 0.
        present: Which losses take part in this step, a bool tensor [K], or None where all do. One
            that does not (it was not given, or is not finite) is 0 among the losses to weigh.
    """

    def __init__(self, names: tuple[str, ...], statistics: Sequence[Statistics]) -> None:
        self.names = names
        self.statistics = statistics
        self.step = 0
        self.present: Tensor | None = None
        self._loss_ratios = [one.loss_ratio for one in statistics]

    def add(
        self, values: Sequence[float], given: Sequence[bool] | None, samples: float, step: int
    ) -> None:
        """Take in one step; `given` says which losses there were, None for all."""
        if given is None:
            for statistics, value in zip(self.statistics, values, strict=True):
                statistics.add(value, samples, step)
            return
        for statistics, value, is_given in zip(self.statistics, values, given, strict=True):
            if is_given:
                statistics.add(value, samples, step)

    def add_means(
        self,
        values: Sequence[float],
        samples: Sequence[float],
        nonfinite: Sequence[float],
        step: int,
    ) -> None:
        """Take in one step whose losses are means over micro-batches or ranks.

        Args:
            values: The means of what was finite; nan where nothing was.
            samples: What each mean weighs.
            nonfinite: How many were left out of each; one of which nothing is left counts as nan.
            step: The step.
        """
        if not any(nonfinite) and len(set(samples)) == 1:
            self.add(values, [value == value for value in values], samples[0], step)
            return
        for statistics, value, weight, left_out in zip(
            self.statistics, values, samples, nonfinite, strict=True
        ):
            if value == value:
                statistics.add(value, weight, step)
                if left_out:
                    statistics.count_nonfinite(step)
            elif left_out:
                statistics.add(value, 1, step)

    def gather(self, name: str) -> Vector:
        """A number of each loss's `Statistics`."""
        return np.array([getattr(statistics, name) for statistics in self.statistics])

    @property
    def count(self) -> Vector:
        """How many finite values came."""
        return self.gather("count")

    @property
    def value(self) -> Vector:
        """The last value."""
        return self.gather("value")

    @property
    def mean(self) -> Vector:
        """Mean."""
        return self.gather("mean")

    @property
    def variance(self) -> Vector:
        """Population variance."""
        return self.gather("variance")

    @property
    def std(self) -> Vector:
        """Standard deviation."""
        return self.gather("std")

    @property
    def cov(self) -> Vector:
        """Coefficient of variation, std / |mean|."""
        return self.gather("cov")

    @property
    def minimum(self) -> Vector:
        """Smallest value."""
        return self.gather("minimum")

    @property
    def maximum(self) -> Vector:
        """Largest value."""
        return self.gather("maximum")

    @property
    def exponential_mean(self) -> Vector:
        """Mean that forgets; nan unless the group was given a `decay`."""
        means = [statistics.exponential_mean for statistics in self.statistics]
        return np.array([math.nan if mean is None else mean.value for mean in means])

    @property
    def block_mean(self) -> Vector:
        """Mean of the last complete block; nan unless the group was given a `block_size`."""
        blocks = [statistics.blocks for statistics in self.statistics]
        return np.array([math.nan if block is None else block.last.mean for block in blocks])

    @property
    def ratio_count(self) -> Vector:
        """How many values entered the loss ratio since its start or its last restart."""
        return np.array([ratio.count for ratio in self._loss_ratios])

    @property
    def youngest_ratio(self) -> int:
        """The smallest of `ratio_count`."""
        return min([ratio.count for ratio in self._loss_ratios])

    @property
    def ratio_mean(self) -> Vector:
        """Mean of the loss ratio."""
        return self.gather("ratio_mean")

    @property
    def ratio_std(self) -> Vector:
        """Standard deviation of the loss ratio."""
        return self.gather("ratio_std")

    @property
    def ratio_cov(self) -> Vector:
        """Coefficient of variation of the loss ratio, c = sigma_l / mu_l; nan before it began."""
        return np.array(
            [math.sqrt(ratio.variance + EPSILON) / ratio.mean for ratio in self._loss_ratios]
        )
