"""Mean, spread and extremes of losses on an accelerator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from multi_loss_weighting.statistics._array_library import arrays_of
from multi_loss_weighting.statistics._arrays import LossStatistics, finite_or_zero, with_losses

from ._twin import Twin

if TYPE_CHECKING:
    from multi_loss_weighting.statistics._settings import RatioSettings


class Moments:
    """Mean, variance, extremes and first value of K losses.

    Args:
        columns: The numbers to go on from, [K, 11] in float64 on the CPU.
        settings: Of the ratios, which this has none of.
        device: Where the losses are.
        dtype: Of the numbers. In float32 what rounding took away is kept (Kahan).
    """

    FIELDS = (
        *("count", "samples", "", "running_mean", "", "squares", ""),
        *("lowest", "highest", "rare.first", "rare.nonfinite"),
    )
    SIZE = 11

    def __init__(
        self, columns: Tensor, settings: RatioSettings, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._settings, self._device, self._dtype = settings, device, dtype
        rows = columns.T
        counts = rows[[0, -1]].to(torch.int64)
        self.twin = Twin([counts.to(device), rows[1:-1].to(dtype).to(device)])
        (count, nonfinite), numbers = self.twin.now
        self.all = LossStatistics._make([count, *numbers, nonfinite])
        self._xp = arrays_of(counts)

    def prepare(self, losses: Tensor, samples: float | Tensor) -> None:
        """Work out one step beside what is known: losses [K], nan for one that was not given."""
        (counts, numbers), (next_counts, next_numbers) = self.twin.now, self.twin.next
        values, is_finite = finite_or_zero(self._xp, losses.to(numbers.dtype))
        _, *new, _ = with_losses(self._xp, self.all, values, samples)
        torch.add(counts, torch.stack([is_finite, ~is_finite]), out=next_counts)
        torch.where(is_finite, torch.stack(new), numbers, out=next_numbers)

    def columns(self) -> Tensor:
        """The numbers to go on from, [K, 11] in float64 on the CPU."""
        return torch.stack([row.cpu().double() for row in self.all], dim=1)

    def __reduce__(self) -> Any:
        """A copy has views into memory of its own."""
        return Moments, (self.columns(), self._settings, self._device, self._dtype)
