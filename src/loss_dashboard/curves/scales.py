"""Scales that show what is small beside what is large, on both sides of zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loss_dashboard._typing import Values


def linear_below(values: Values) -> float:
    """The size up to which a symlog scale is linear: the smallest that is not 0.

    There are three decades above it at most; it is 1 where all values are 0.

    >>> import numpy as np
    >>> linear_below(np.array([0.0, -0.5, 4.0])), linear_below(np.array([1e-9, -4000.0]))
    (0.5, 4.0)
    """
    import numpy as np

    sizes = np.abs(values[values != 0])
    return float(max(sizes.min(), sizes.max() / 1000)) if len(sizes) else 1.0


NEARLY_ALL, ABOVE = 0.95, 1.5
"""Of each curve so much is to be seen, and so many times that height of the scale."""


def robust_top(curves: Iterable[Values]) -> float:
    """Where a scale of coefficients of variation is cut, so that no mean near 0 squeezes the rest.

    Infinite where nothing is above 0.

    >>> import numpy as np
    >>> robust_top([np.array([*[0.5] * 99, 9000.0]), np.array([0.25, np.nan])])
    0.75
    """
    import numpy as np

    finite = (np.sort(curve[np.isfinite(curve)]) for curve in curves)
    tops = [float(own[int(NEARLY_ALL * (len(own) - 1))]) for own in finite if len(own)]
    most = max(tops, default=0.0)
    return ABOVE * most if most > 0 else float("inf")
