"""How sure a mean over runs is: the interval that holds the true one 95 times of 100."""

from __future__ import annotations

from functools import cache
from math import cos, pi, sin, sqrt, tan
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from loss_dashboard._typing import Values

INTERVAL = "95 % Student-t interval over runs"
"""What a band, or a number behind ±, is called."""

CONFIDENCE = 0.95


class Mean(NamedTuple):
    """Means over runs, with half the width of their intervals.

    Attributes:
        mean: of the finite values; NaN where there is none.
        half: from the mean to either end of its interval; NaN for fewer than two values.
        n: how many values were finite.
    """

    mean: Values
    half: Values
    n: Values


def mean_over(values: Values) -> Mean:
    """The mean of each column over the rows that have a finite value in it.

    >>> import numpy as np
    >>> means = mean_over(np.array([[1.0, 5.0, np.nan], [3.0, np.nan, np.nan]]))
    >>> means.mean.tolist(), means.half.round(2).tolist(), means.n.tolist()
    ([2.0, 5.0, nan], [12.71, nan, nan], [2.0, 1.0, 0.0])
    """
    import numpy as np

    finite = np.isfinite(values)
    count = finite.sum(axis=0).astype(float)
    known = np.where(finite, values, 0.0)
    # Of huge values neither the sum nor the squares may overflow.
    scale = np.abs(known).max(axis=0, initial=0.0)
    scale[scale == 0] = 1.0
    scaled = known / scale
    with np.errstate(all="ignore"):
        mean = np.where(count > 0, scaled.sum(axis=0) / count, np.nan)
        squares = np.where(finite, (scaled - mean) ** 2, 0.0).sum(axis=0)
        error = np.sqrt(squares / (count - 1) / count)
        half = np.where(count > 1, scale * error * _errors(len(values))[count.astype(int)], np.nan)
        return Mean(mean * scale, half, count)


def student(freedom: int, confidence: float = CONFIDENCE) -> float:
    """So many standard errors the interval reaches, to either side of the mean.

    >>> round(student(1), 3), round(student(4), 3), round(student(99), 3)
    (12.706, 2.776, 1.984)
    """
    low, high = 0.0, pi / 2
    for _ in range(60):  # halved so often, an angle is exact
        middle = (low + high) / 2
        low, high = (middle, high) if _inside(middle, freedom) < confidence else (low, middle)
    return sqrt(freedom) * tan((low + high) / 2)


def _inside(angle: float, freedom: int) -> float:
    """How likely |t| is below sqrt(freedom) * tan(angle), by its finite series."""
    square = cos(angle) ** 2
    odd = freedom % 2
    term = cos(angle) if odd else 1.0
    series = 0.0
    for power in range(1 + odd, freedom, 2):
        series += term
        term *= square * power / (power + 1)
    if odd:
        return (angle + sin(angle) * series) * 2 / pi
    return sin(angle) * series


@cache
def _errors(most: int) -> Values:
    """So many standard errors for each count of values up to this one."""
    import numpy as np

    return np.array([np.nan, np.nan, *map(student, range(1, most))])[: most + 1]
