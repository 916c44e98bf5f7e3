"""The loss ratios on an accelerator: the rule of `add_ratios` in place, in half as many launches.

A step reads nothing back and asks no value anything: whatever depends on a value is arithmetic on
tensors [K] without a branch, the same few operations for any K.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from multi_loss_weighting.statistics._arrays import huge
from multi_loss_weighting.statistics._record import EPSILON

from ._twin import Twin

if TYPE_CHECKING:
    from multi_loss_weighting.statistics._settings import RatioSettings


class Ratios:
    """The loss ratios of K losses.

    Where the scalar form branches, this one masks: a loss is new (its ratio begins, at first or
    after `patience` spikes), near its running mean (it is taken in) or far from it (it is kept
    out). One that was not given, or is not finite, is nan, which is neither near nor far.

    Args:
        columns: The numbers to go on from, [K, 8] in float64 on the CPU: count, streak, reference,
            mean and variance, and of the last three what rounding took away in float32 (Kahan).
        settings: How the ratios are kept.
        device: Where the losses are.
        dtype: Of the means, float64 or float32.
    """

    FIELDS = (
        *("ratio_count", "rare.streak", "reference", "ratio_running_mean", "ratio_variance"),
        *("", "", ""),
    )
    SIZE = 8

    def __init__(
        self, columns: Tensor, settings: RatioSettings, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._settings, self._device, self._dtype = settings, device, dtype
        self._is_float32 = dtype == torch.float32
        self._least, self._lowest = settings.least, settings.lowest
        self._highest = min(settings.highest, huge(self._is_float32))
        self._patience = settings.patience
        # With these settings alone a loss near 0 is taken in, and brings its running mean to 0.
        self._may_vanish = self._least > 0 and not self._lowest
        rows = columns.T
        # float64 counts to 2^53, and float32 to 2^24 only.
        counts = rows[:2].to(torch.int64 if self._is_float32 else dtype, copy=True)
        is_new = counts[0] == 0
        counts[1].masked_fill_(is_new, self._patience)
        means = rows[2 : 8 if self._is_float32 else 5].to(dtype)
        if self._may_vanish:
            is_new |= means[0] <= 0
        self.twin = Twin([counts.to(device), means.to(device), is_new.to(device)])
        (self.count, _), (_, self.mean, self.variance, *_), _ = self.twin.now
        (self._next_count, self._next_streak), (self._next_reference, *_), _ = self.twin.next
        self._make_workspace(len(means), len(columns), device, dtype)

    def _make_workspace(
        self, size: int, count: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        """All views of it too, since each time that one is made is an operation."""

        def rows(number: int) -> Tensor:
            return torch.zeros(number, count, dtype=dtype, device=device)

        space = rows(5 + size)
        self._bounded, self._one, self._size, self._ratio, self._spread = space[:5]
        self._one.fill_(1)
        self._fresh = space[5:]
        self._both_ratios = space[0:4:3]  # within the bounds, and as it is
        self._both_sizes = space[2:6:3]  # what a mean moves to, and what a new one begins as
        self._loss, self._infinity = rows(1)[0], rows(1)[0] + math.inf
        self._loss_twice = self._loss.expand(2, count)
        known = rows(1 + size)
        self._share, self._base, self._moved = known[0], known[1:], rows(size)
        self._delta, self._change = rows(3), rows(2)
        self._masks = torch.zeros(2, count, dtype=torch.bool, device=device)
        self._is_near = self._masks[0]
        # 1 - share is a difference like those of the means, so that one launch makes all three.
        self._ends, self._starts = space[1:4], known[:3]
        self._views = (
            *(self._delta[1:], self._base[:2], self._moved[:2]),
            *(self._base[2], self._moved[2]),
            *(self._delta[0], self._delta[2], self._change[1]),
        )
        self._ends_compensated = space[2:5]
        self._parts = self._base[:3], self._base[3:], self._moved[:3], self._moved[3:]
        self._reference, self._mean, *_ = self._base

    def prepare(self, losses: Tensor, _samples: object = None) -> None:
        """Work out one step beside what is known: losses [K], nan for one that was not given."""
        counts, means, is_new = self.twin.now
        _, next_means, next_is_new = self.twin.next
        self._read(losses)
        torch.where(is_new, self._fresh, means, out=self._base)
        self._compare()
        torch.add(counts, self._masks, out=self.twin.next[0])
        self._next_streak.masked_fill_(self._is_near, 0)
        if self._may_vanish:
            self._next_count.masked_fill_(is_new & self._is_near, 1)
        share = torch.reciprocal(self._next_count, out=self._share)
        if self._least:
            share.clamp_min_(self._least)
        (self._move_compensated if self._is_float32 else self._move)(share)
        torch.where(self._is_near, self._moved, means, out=next_means)
        torch.ge(self._next_streak, self._patience, out=next_is_new)
        self._next_count.masked_fill_(next_is_new, 0)
        if self._may_vanish:  # it begins anew with the next loss, and counts until then
            next_is_new.logical_or_(self._next_reference <= 0)

    def _read(self, losses: Tensor) -> None:
        if self._is_float32:
            self._loss.copy_(losses).nan_to_num_(math.nan, math.nan, math.nan)
        else:
            # In float64, and the number itself but for infinity, which becomes nan: one operation.
            torch.fmod(losses, self._infinity, out=self._loss)
        torch.abs(self._loss_twice, out=self._both_sizes)

    def _compare(self) -> None:
        """Which losses are near their running mean, and which have a ratio at all."""
        ratio = torch.div(self._size, self._reference, out=self._ratio)
        torch.clamp(ratio, self._lowest, self._highest, out=self._bounded)
        torch.eq(self._both_ratios, ratio, out=self._masks)

    def _move(self, share: Tensor) -> None:
        deltas, base, moved, variance, moved_variance, rest, delta, change = self._views
        torch.sub(self._ends, self._starts, out=self._delta)
        torch.mul(share, deltas, out=self._change)
        torch.add(base, self._change, out=moved)
        change.mul_(delta).add_(variance)
        torch.mul(rest, change, out=moved_variance)

    def _move_compensated(self, share: Tensor) -> None:
        base, kept, moved, moved_kept = self._parts
        delta = self._ratio - self._mean
        torch.mul(delta, delta, out=self._spread)
        self._spread.addcmul_(self._spread, share, value=-1)
        step = torch.addcmul(kept, self._ends_compensated - base, share)
        torch.add(base, step, out=moved)
        torch.sub(step, moved - base, out=moved_kept)

    def std(self) -> Tensor:
        """sqrt(variance + 1e-8), the authors' sigma_l."""
        std: Tensor = (self.variance + EPSILON).sqrt_()
        return std

    def cov(self) -> Tensor:
        """C = sigma_l / mu_l; nan before the first loss."""
        return self.std().div_(self.mean)

    def cov_shares(self, warmup: int) -> Tensor:
        """The weights of CoV-Weighting, which sum to 1; 1/K for a loss younger than `warmup`.

        Where all are young, what is divided by 0 is masked.
        """
        count, is_young = len(self.count), self.count < warmup
        settled = self.cov().masked_fill_(is_young, 0.0)
        shares = settled / settled.sum()
        shares.addcmul_(shares, is_young.sum(dtype=shares.dtype), value=-1 / count)
        return shares.masked_fill_(is_young, 1 / count)

    def columns(self) -> Tensor:
        """The numbers to go on from, [K, 8] in float64 on the CPU."""
        counts, means, _ = self.twin.now
        known = torch.cat([counts.cpu().double(), means.cpu().double()])
        return torch.nn.functional.pad(known.T, (0, self.SIZE - len(known)))

    def __reduce__(self) -> Any:
        """A copy has views into memory of its own."""
        return Ratios, (self.columns(), self._settings, self._device, self._dtype)
