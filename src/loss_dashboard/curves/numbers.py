"""Numbers as they are shown, and as JSON takes them: with as many digits as a screen has."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import object_
    from numpy.typing import NDArray

    from loss_dashboard._typing import Values

    Cells = NDArray[object_]

Number = float | None

DASH = "\u2013"
"""Stands for a number that there is none of."""


def figures(number: float) -> str:
    """Three significant figures, without a power of ten where the page has none.

    >>> figures(0.5), figures(12.345), figures(1234.5), figures(1234567)
    ('0.500', '12.3', '1230', '1.23e+06')
    """
    rounded = float(f"{number:.3g}")
    if 1e3 <= abs(rounded) < 1e6:
        return f"{rounded:.0f}"
    return f"{number:#.3g}".removesuffix(".")


def percent(part: float) -> str:
    """A part of 1, as the page writes it.

    >>> percent(0.974), percent(0.0123), percent(1e-5), percent(float("nan"))
    ('97 %', '1.2 %', '<0.1 %', '\u2013')
    """
    size = 100 * part
    if not isfinite(size):
        return DASH
    if 0 < size < 0.05:
        return "<0.1 %"
    return f"{size:.1f} %" if 0 < size < 10 else f"{size:.0f} %"


def plain(value: float) -> Number:
    """Six digits are more than a screen has; JSON has no NaN.

    >>> plain(1 / 3), plain(float("nan"))
    (0.333333, None)
    """
    return float(f"{value:.6g}") if isfinite(value) else None


def numbers(values: Values) -> Cells:
    """The same for many, as objects.

    >>> import numpy as np
    >>> numbers(np.array([[1 / 3, np.inf], [1e30, 0.0]])).tolist()
    [[0.333333, None], [1e+30, 0.0]]
    """
    import numpy as np

    finite = np.isfinite(values)
    sizes = np.abs(np.where(finite & (values != 0), values, 1.0))
    scales = 10.0 ** np.clip(5 - np.floor(np.log10(sizes)), -300, 300)
    cells: Cells = (np.round(values * scales) / scales).astype(object)
    cells[~finite] = None
    return cells
