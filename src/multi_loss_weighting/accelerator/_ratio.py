"""The ratios of K losses to their own running means, on an accelerator."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from multi_loss_weighting.statistics._ratio import EPSILON

from ._means import Means, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multi_loss_weighting.statistics._ratio import LossRatio, RatioSettings


class DeviceRatios:
    """`LossRatio` of K losses on one device, which goes on from `ratios`.

    Where the code for the CPU branches, this one masks: a loss is new (it begins, at first or after
    `patience` spikes), near its running mean (it is taken in) or far from it (it is kept out). One
    that was not given, or is not finite, is nan, which compares with nothing: neither near nor far.
    """

    def __init__(
        self,
        settings: RatioSettings,
        ratios: Sequence[LossRatio],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._patience, self._least = settings.patience, settings.least
        self._highest = min(settings.highest, torch.finfo(dtype).max)
        self._has_lowest = settings.lowest > 0
        self._means = Means(rows_of(ratios, ("reference", "mean", "variance"), device, dtype))
        self._reference, self.mean, self.variance = self._means.rows
        self._ends = torch.zeros_like(self._means.all)
        self._size, self._ratio, self._spread = self._ends.unbind()
        # float64 counts to 2^53, and float32 to 2^24 only.
        counting = torch.int64 if dtype == torch.float32 else dtype
        self._counts = rows_of(ratios, ("count", "streak"), device, counting)
        self.count, self._streak = self._counts.unbind()
        self._masks = torch.zeros(3, len(ratios), dtype=torch.bool, device=device)
        self._is_new, self._is_near, self._is_far = self._masks.unbind()
        self._is_near_or_far = self._masks[1:]
        self._infinity = torch.full_like(self._size, math.inf)
        torch.eq(self.count, 0, out=self._is_new)
        self._streak.masked_fill_(self._is_new, self._patience)

    def add(self, losses: Tensor) -> None:
        """Take in one step: the losses [K], nan for one that was not given."""
        self._compare(losses)
        self._streak.masked_fill_(self._is_near, 0)
        self._counts.add_(self._is_near_or_far)
        share = self.count.reciprocal()
        if self._least:
            share.clamp_min_(self._least)
        delta = self._ratio - self.mean
        torch.mul(delta, delta, out=self._spread)
        self._spread.addcmul_(self._spread, share, value=-1)
        self._means.move(self._ends, share, self._is_near)
        torch.ge(self._streak, self._patience, out=self._is_new)
        self.count.masked_fill_(self._is_new, 0)

    def _compare(self, losses: Tensor) -> None:
        if self._size.dtype == torch.float64:
            # In float64, and the number itself but for infinity, which becomes nan: one operation.
            torch.fmod(losses, self._infinity, out=self._size)
        else:
            self._size.copy_(losses).nan_to_num_(math.nan, math.nan, math.nan)
        self._size.abs_()
        torch.where(self._is_new, self._size, self._reference, out=self._reference)
        ratio = torch.div(self._size, self._reference, out=self._ratio)
        if self._has_lowest:
            # The lowest is one over the highest.
            ratio = torch.maximum(ratio, ratio.reciprocal())
        torch.le(ratio, self._highest, out=self._is_near)
        torch.gt(ratio, self._highest, out=self._is_far)

    @property
    def std(self) -> Tensor:
        """sqrt(variance + 1e-8), the authors' sigma_l."""
        return (self.variance + EPSILON).sqrt_()

    @property
    def cov(self) -> Tensor:
        """C = sigma_l / mu_l; anything before the first loss."""
        return self.std.div_(self.mean)

    def tensors(self) -> list[Tensor]:
        """Everything that the next number depends on."""
        lost = [] if self._means.lost is None else [self._means.lost]
        return [self._means.all, self._counts, self._masks, *lost]
