"""Numbers as JSON takes them, with as many digits as a screen has."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._lines import Values

Number = float | None


def plain(value: float) -> Number:
    """Six digits are more than a screen has; JSON has no NaN.

    >>> plain(1 / 3), plain(float("nan"))
    (0.333333, None)
    """
    return float(f"{value:.6g}") if isfinite(value) else None


def numbers(values: Values) -> list[Number]:
    """The same for many."""
    import numpy as np

    finite = np.isfinite(values)
    sizes = np.abs(np.where(finite & (values != 0), values, 1.0))
    scales = 10.0 ** np.clip(5 - np.floor(np.log10(sizes)), -300, 300)
    cells: list[Number] = (np.round(values * scales) / scales).tolist()
    for index in (~finite).nonzero()[0].tolist():
        cells[index] = None
    return cells
