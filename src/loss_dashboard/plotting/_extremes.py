"""How far a line of means leaves out what it is the mean of, where that matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy import bool_
    from numpy.typing import NDArray

    from loss_dashboard._typing import Values
    from loss_dashboard.curves.decimate import Decimated

FAR = 3.0
"""An extreme is far from its mean that is so many times as far from it as they usually are."""


def draw_extremes(axes: Axes, values: Decimated, line: Values, color: str) -> None:
    """A stroke from the line to each extreme that is far from its mean, and to the outermost two.

    All of them would hide other lines; without any a spike would have the height of its mean.
    """
    import numpy as np

    if not np.isfinite(values.low).any():
        return
    scaled = np.log if np.nanmin(values.low) > 0 else np.positive
    for ends, sign in ((values.low, -1), (values.high, 1)):
        far = _is_far(sign * (scaled(ends) - scaled(values.mean)), sign * ends)
        if far.any():
            axes.vlines(values.x[far], line[far], ends[far], color=color, alpha=0.5, linewidth=0.8)


def _is_far(distances: Values, ends: Values) -> NDArray[bool_]:
    """Which extremes are as far as that; what its mean has reached is not."""
    import numpy as np

    beyond = np.where(np.isfinite(distances), np.maximum(distances, 0), 0)
    far: NDArray[bool_] = beyond > FAR * np.median(beyond)
    far |= (ends == np.nanmax(ends)) & (beyond > 0)
    return far
