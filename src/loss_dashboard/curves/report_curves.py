"""The curves of a run as a report holds them: with all that may be chosen later, told before."""

from __future__ import annotations

from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any

from ._curves import draw_curves, draw_extras, draw_smoothed
from ._grid import Grid, reach
from .decimate import bucket_starts
from .view_options import ViewOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from loss_dashboard._typing import Values

    Losses = Mapping[str, dict[str, Values]]

WINDOWS = (10, 30, 100, 300, 1000, 3000)
"""The means that the page offers, in steps."""

COLUMNS = 9
"""What each point tells without smoothing; each window adds two."""

LEAST = 60
"""A curve of fewer points would tell too little."""


class ReportCurves:
    """Curves with, for each window, what smoothing makes of the full series.

    Args:
        points: At most so many for each curve.
        windows: The windows to smooth with, in steps.

    Attributes:
        points: as given.
        windows: as given.
    """

    def __init__(self, points: int, windows: Sequence[int]) -> None:
        self.points = points
        self.windows = windows

    def draw(self, losses: Losses, extras: Losses, _times_begun: int = 0) -> dict[str, Any]:
        """The curves, in the form of those that a server tells."""
        all_of_them = [*losses.values(), *extras.values()]
        grid = Grid(all_of_them, None, None, partial(bucket_starts, buckets=self.points))
        size = ceil(grid.length / self.points)
        return {
            "step": [float(step) for step in grid.steps.tolist()],
            "time": [round(moment, 3) for moment in grid.times.tolist()],
            "each": self._curves(grid, losses),
            "extras": self._extras(grid, extras),
            "whole": size <= 1 and grid.once,
            "size": size,
            "range": reach(all_of_them),
        }

    def _curves(self, grid: Grid, losses: Losses) -> dict[str, Any]:
        drawn = draw_curves(grid, losses, ViewOptions())
        for name, own in losses.items():
            smoothed = {window: draw_smoothed(grid, own, window) for window in self.windows}
            drawn[name]["smoothed"] = smoothed
        return drawn

    def _extras(self, grid: Grid, extras: Losses) -> dict[str, Any]:
        drawn = draw_extras(grid, extras, ViewOptions())
        for window in self.windows:
            smoothed = draw_extras(grid, extras, ViewOptions(smoothing=window))
            for name, curve in smoothed.items():
                own = drawn[name].setdefault("smoothed", {})
                own[window] = {"smooth": curve["smooth"]}
        return drawn


def plan(steps: int, losses: int, numbers: int) -> ReportCurves:
    """Curves of so many numbers in all, for so many losses with at most so many steps.

    A window no longer than the steps between two points would show what is there without it: each
    point is the mean of them. So those are left out, which leaves room for more points.

    >>> whole, long = plan(500, 3, 70_000), plan(1_000_000, 3, 70_000)
    >>> whole.points, whole.windows == WINDOWS, long.points, long.windows
    (1111, True, 1794, (1000, 3000))
    """
    for left_out in range(len(WINDOWS), -1, -1):
        windows = WINDOWS[left_out:]
        points = max(LEAST, numbers // (max(1, losses) * (COLUMNS + 2 * len(windows))))
        if not left_out or WINDOWS[left_out - 1] <= steps / points:
            break
    return ReportCurves(points, windows)
