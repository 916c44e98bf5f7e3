"""The last values of a loss, and what is asked of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from loss_loggers.arguments import checked_count

if TYPE_CHECKING:
    from collections.abc import Sequence


class Recent:
    """The last values of a loss, finite or not, oldest first.

    Each question takes the last `count` values, or all that are kept, and passes over those that
    are not finite; with none left the answer is nan.

    >>> recent = Recent([2.0, 9.0, 4.0])
    >>> recent.values(), recent.median(), recent.mean(2)
    ([2.0, 9.0, 4.0], 4.0, 6.5)
    """

    __slots__ = ("_kept",)

    def __init__(self, kept: Sequence[float]) -> None:
        self._kept = kept

    def values(self, count: int | None = None) -> list[float]:
        """The last `count` values, oldest first."""
        if count is not None:
            count = checked_count(count, 0, "count", "values")
        start = 0 if count is None else max(0, len(self._kept) - count)
        return list(self._kept[start:])

    def _finite(self, count: int | None) -> list[float]:
        return [value for value in self.values(count) if math.isfinite(value)] or [math.nan]

    def mean(self, count: int | None = None) -> float:
        """Mean of the last `count` values."""
        values = self._finite(count)
        return math.fsum(value / len(values) for value in values)

    def median(self, count: int | None = None) -> float:
        """Median of the last `count` values."""
        values = sorted(self._finite(count))
        return values[(len(values) - 1) // 2] / 2 + values[len(values) // 2] / 2

    def std(self, count: int | None = None) -> float:
        """Population standard deviation of the last `count` values."""
        values, mean = self._finite(count), self.mean(count)
        return math.hypot(*(value - mean for value in values)) / math.sqrt(len(values))

    def minimum(self, count: int | None = None) -> float:
        """Smallest of the last `count` values."""
        return min(self._finite(count))

    def maximum(self, count: int | None = None) -> float:
        """Largest of the last `count` values."""
        return max(self._finite(count))
