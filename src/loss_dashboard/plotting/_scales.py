"""The vertical scale of losses, with numbers that people read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from loss_dashboard.curves.scales import linear_below

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.axes import Axes

    from loss_dashboard._typing import Values

APART = 13  # points between two numbers
LINEAR = 0.4  # decades for what is linear, which leave the curves without a bend where it ends


def scale(axes: Axes, curves: list[Values]) -> str:
    """Logarithmic, on both sides of zero unless all losses are positive; and a word on the latter.

    Args:
        axes: The panel, with its lines.
        curves: The losses.
    """
    import numpy as np

    values = np.concatenate([curve[np.isfinite(curve)] for curve in curves] or [np.empty(0)])
    if not values.any():
        return ""
    if values.min() > 0:
        _scale_log(axes, values)
        return ""
    return _scale_symlog(axes, values)


def _scale_log(axes: Axes, values: Values) -> None:
    import numpy as np
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    axes.set_yscale("log")
    low, high = np.log10([values.min(), values.max()])
    decades = high - low
    if decades > 200 or high > 200:  # where the usual room may be beyond all floats
        set_log_limits(axes, values, 0.05)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 3 else (1,)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def set_log_limits(axes: Axes, values: Values, room: float) -> None:
    """As far as the values reach, with a part of that on both sides, within what floats can be."""
    import numpy as np

    low, high = np.log10([values.min(), values.max()])
    more = max(np.log10(1.02), room * (high - low))
    axes.set_ylim(10 ** np.clip(low - more, -307, 300), 10 ** np.clip(high + more, -300, 307))


def _scale_symlog(axes: Axes, values: Values) -> str:
    """Linear up to the smallest loss that is not 0, but over three decades at most."""
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    values = values.clip(-1e307, 1e307)  # with room for what is added
    low, high, floor = values.min(), values.max(), linear_below(values)
    axes.set_yscale("symlog", linthresh=floor, linscale=LINEAR)
    axes.set_ylim(low * 1.3 if low < 0 else -floor / 2, high * 1.3 if high > 0 else floor)
    axes.yaxis.set_major_locator(FixedLocator(_apart(axes, _round_numbers(floor, max(-low, high)))))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    return f"symlog, since some are not positive: linear within ±{floor:.2g}"


def _round_numbers(floor: float, top: float) -> list[float]:
    """Zero, and then from large to small what the axis may be marked with, both ways."""
    digits = (5, 2, 1) if top < 100 * floor else (1,)
    powers = range(math.ceil(math.log10(top)), math.floor(math.log10(floor)) - 1, -1)
    sizes = [digit * 10.0**power for power in powers for digit in digits]
    return [0.0, *(sign * size for size in sizes if size >= floor / 2 for sign in (1, -1))]


def _apart(axes: Axes, numbers: Iterable[float]) -> list[float]:
    """Those within the panel that do not touch one that comes before them."""
    low, high = axes.get_ylim()
    gap = APART * axes.figure.dpi / 72
    kept: dict[float, float] = {}
    for number in numbers:
        at = axes.transData.transform((0, number))[1]
        if low <= number <= high and all(abs(at - other) > gap for other in kept.values()):
            kept[number] = at
    return sorted(kept)
