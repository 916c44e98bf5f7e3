"""How far a line leaves out what it is the mean of, where that matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loss_dashboard.curves.decimate import far_ends

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from loss_dashboard._typing import Values
    from loss_dashboard.curves.decimate import Decimated


def draw_extremes(axes: Axes, values: Decimated, line: Values, color: str) -> None:
    """A stroke from the line to each extreme that is far from it, and to the outermost two."""
    ends = (values.low, values.high)
    for end, far in zip(ends, far_ends(line, *ends), strict=True):
        if far.any():
            axes.vlines(values.x[far], line[far], end[far], color=color, alpha=0.5, linewidth=0.8)
