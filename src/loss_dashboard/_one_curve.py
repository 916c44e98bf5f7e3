"""The curve of one loss, with all that the charts show of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._numbers import numbers
from ._smooth import smooth

if TYPE_CHECKING:
    from ._grid import Grid
    from ._lines import Values
    from ._numbers import Number
    from .choice import Choice


def draw_curve(grid: Grid, own: dict[str, Values], choice: Choice) -> dict[str, Any]:
    """The statistics of one loss in each bucket of a grid."""
    loss, weight = own["loss"], own["weight"]
    buckets = grid.reduce(own, loss)
    curve = {
        "loss": _cells(buckets.mean, buckets.seen),
        "low": _cells(buckets.low, buckets.seen),
        "high": _cells(buckets.high, buckets.seen),
        "lost": [[index, int(n)] for index, n in enumerate(buckets.nonfinite.tolist()) if n > 0],
        "weight": _column(grid, own, weight),
        "part": _column(grid, own, loss * weight),
        "cov": _column(grid, own, own["cov"]),
        "recent": _column(grid, own, _recent_cov(loss, choice.window)),
    }
    return curve | (draw_smoothed(grid, own, choice.smoothing) if choice.smoothing > 1 else {})


def draw_smoothed(grid: Grid, own: dict[str, Values], window: int) -> dict[str, Any]:
    """What changes with smoothing: the mean of so many of the last losses, and contributions."""
    loss, weight = own["loss"], own["weight"]
    return {
        "smooth": _column(grid, own, smooth(loss, window)),
        "part": _column(grid, own, smooth(loss * weight, window)),
    }


def _column(grid: Grid, own: dict[str, Values], values: Values) -> list[Number | bool]:
    buckets = grid.reduce(own, values)
    return _cells(buckets.mean, buckets.seen)


def _recent_cov(loss: Values, window: int) -> Values:
    """The coefficient of variation of the last values at each step."""
    import numpy as np

    centre = np.nanmedian(loss[np.isfinite(loss)]) if np.isfinite(loss).any() else 0.0
    shifted = loss - centre  # so that squares do not swallow what differs
    mean = smooth(shifted, window)
    variance = np.maximum(smooth(shifted**2, window) - mean**2, 0.0)
    cov: Values = np.sqrt(variance) / np.abs(mean + centre)
    return cov


def _cells(values: Values, seen: Values) -> list[Number | bool]:
    """Null where all values were lost, false where there was none to lose."""
    cells: list[Number | bool] = list(numbers(values))
    for index in (~seen.astype(bool)).nonzero()[0].tolist():
        cells[index] = False
    return cells
