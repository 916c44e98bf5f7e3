"""Means on an accelerator: a step reads nothing back and asks no value anything.

Whatever depends on a value is arithmetic on tensors [K] without a branch, so that a step is the
same few operations for any K.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multi_loss_weighting.statistics._statistics import Statistics


def widest(device: torch.device) -> torch.dtype:
    """The most precise floating dtype that a device has."""
    return torch.float32 if device.type == "mps" else torch.float64


def rows_of(
    objects: Sequence[object], names: Sequence[str], device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Attributes of K objects as a tensor [names, K]; one that is not finite is 0."""
    values = [[getattr(one, name) for one in objects] for name in names]
    return torch.tensor(values, dtype=torch.float64).nan_to_num_(0, 0, 0).to(device, dtype)


class Means:
    """Means [rows, K] that values join, each with a share of its own.

    In float32 what rounding takes away is kept, and given back at the next step (Kahan): without
    that, a mean over 1e5 steps is right to four digits.
    """

    def __init__(self, start: Tensor) -> None:
        self.all = start
        self.rows = start.unbind()
        self.lost = torch.zeros_like(start) if start.dtype == torch.float32 else None

    def move(self, ends: Tensor, share: Tensor, joins: Tensor) -> None:
        """`mean += share * (end - mean)` for those of the K losses that join.

        Args:
            ends: What the means move to, [rows, K].
            share: How far, [K], 1 for all the way.
            joins: Which losses do, a bool tensor [K].
        """
        if self.lost is None:
            moved = torch.lerp(self.all, ends, share)
        else:
            step = (ends - self.all) * share - self.lost
            moved = self.all + step
            torch.where(joins, (moved - self.all) - step, self.lost, out=self.lost)
        torch.where(joins, moved, self.all, out=self.all)


class DeviceMoments:
    """`Moments` of K losses on one device, which go on from `statistics`."""

    def __init__(
        self, statistics: Sequence[Statistics], device: torch.device, dtype: torch.dtype
    ) -> None:
        self._means = Means(rows_of(statistics, ("mean", "variance"), device, dtype))
        self._mean, self._variance = self._means.rows
        self._ends = torch.zeros_like(self._means.all)
        self._value, self._spread = self._ends.unbind()
        # float64 counts to 2^53, and float32 to 2^24 only.
        counting = torch.int64 if dtype == torch.float32 else dtype
        self._count = rows_of(statistics, ("count",), device, counting)[0]
        self._samples = rows_of(statistics, ("samples",), device, dtype)[0]
        bounds = [[one._minimum for one in statistics], [one._maximum for one in statistics]]
        self._bounds = torch.tensor(bounds, dtype=dtype).to(device)
        self._minimum, self._maximum = self._bounds.unbind()

    def add(self, losses: Tensor, samples: float | Tensor) -> None:
        """Take in one step: the losses [K], nan for one that was not given."""
        self._value.copy_(losses)
        self._value.nan_to_num_(math.nan, math.nan, math.nan)
        is_finite = self._value.eq(self._value)
        self._count.add_(is_finite)
        self._samples.add_(is_finite * samples)
        share = samples / self._samples
        delta = self._value - self._mean
        torch.mul(delta, delta, out=self._spread)
        self._spread.addcmul_(self._spread, share, value=-1)
        self._means.move(self._ends, share, is_finite)
        torch.fmin(self._minimum, self._value, out=self._minimum)
        torch.fmax(self._maximum, self._value, out=self._maximum)

    @property
    def count(self) -> Tensor:
        """How many finite values came."""
        return self._count.clone()

    @property
    def mean(self) -> Tensor:
        """Mean; nan before the first value."""
        return self._known(self._mean)

    @property
    def variance(self) -> Tensor:
        """Population variance; nan before the first value."""
        return self._known(self._variance)

    @property
    def std(self) -> Tensor:
        """Standard deviation; nan before the first value."""
        return self.variance.sqrt_()

    @property
    def cov(self) -> Tensor:
        """Coefficient of variation, std / |mean|."""
        return self.std.div_(self._mean.abs())

    @property
    def minimum(self) -> Tensor:
        """Smallest value; nan before the first."""
        return self._known(self._minimum)

    @property
    def maximum(self) -> Tensor:
        """Largest value; nan before the first."""
        return self._known(self._maximum)

    def _known(self, row: Tensor) -> Tensor:
        return row.masked_fill(self._count == 0, math.nan)

    def tensors(self) -> list[Tensor]:
        """Everything that the next number depends on."""
        lost = [] if self._means.lost is None else [self._means.lost]
        return [self._means.all, self._count, self._samples, self._bounds, *lost]
