"""Scales that show what is small beside what is large, on both sides of zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
