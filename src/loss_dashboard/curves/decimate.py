"""Many points as few, with nothing hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from numpy import bool_, intp
    from numpy.typing import NDArray

    from loss_dashboard._typing import Values


FAR = 3.0
"""An extreme is far from its line that is so many times as far from it as they usually are."""

AT_ONCE = 1 << 18
"""So many values are looked at together; more would not fit in a processor's memory."""


class Buckets(NamedTuple):
    """What values do in each bucket: their mean, how far they reach, and what was lost.

    Attributes:
        mean: of the finite values; NaN where there is none.
        low: the smallest finite value.
        high: the largest finite value.
        nonfinite: how many values were NaN or infinite.
    """

    mean: Values
    low: Values
    high: Values
    nonfinite: Values


class Decimated(NamedTuple):
    """A curve in buckets, as `Buckets` has them; `x` is where each begins."""

    x: Values
    mean: Values
    low: Values
    high: Values
    nonfinite: Values


def decimate(x: Values, y: Values, buckets: int) -> Decimated:
    """At most so many buckets, each of as many values; a spike or a NaN shows in its bucket.

    >>> import numpy as np
    >>> few = decimate(np.arange(6.0), np.array([1.0, 3.0, 9.0, np.nan, 5.0, 5.0]), 3)
    >>> few.x.tolist(), few.mean.tolist(), few.high.tolist(), few.nonfinite.tolist()
    ([0.0, 2.0, 4.0], [2.0, 9.0, 5.0], [3.0, 9.0, 5.0], [0.0, 1.0, 0.0])
    """
    starts = bucket_starts(len(y), buckets)
    return Decimated(x[starts], *reduce(y, starts))


def bucket_starts(length: int, buckets: int) -> NDArray[intp]:
    """Where each of at most so many even buckets begins.

    >>> bucket_starts(7, 3).tolist(), bucket_starts(2, 3).tolist()
    ([0, 2, 4], [0, 1])
    """
    import numpy as np

    count = min(length, buckets)
    return np.arange(count, dtype=np.intp) * length // max(count, 1)


def starts_of_size(length: int, size: int) -> NDArray[intp]:
    """Where each bucket of so many values begins; the last may have fewer.

    >>> starts_of_size(7, 3).tolist()
    [0, 3, 6]
    """
    import numpy as np

    return np.arange(0, length, size, dtype=np.intp)


def lengths(starts: NDArray[intp], length: int) -> NDArray[intp]:
    """How many of so many values each bucket has.

    >>> lengths(starts_of_size(7, 3), 7).tolist()
    [3, 3, 1]
    """
    import numpy as np

    ends = np.empty_like(starts)
    ends[:-1], ends[-1:] = starts[1:], length
    return ends - starts


def reduce(values: Values, starts: NDArray[intp]) -> Buckets:
    """What the values do in buckets that begin at these places, the last ending with the values.

    Of several rows of values each is told; one look at all of them costs little more than at one.
    """
    import numpy as np

    if values.ndim > 1 and values.size > AT_ONCE:
        return Buckets(*np.stack([reduce(row, starts) for row in values], axis=1))
    if not values.shape[-1]:
        return Buckets(values, values, values, values)
    finite = np.isfinite(values)
    lost = np.add.reduceat(~finite, starts, axis=-1, dtype=np.float64)
    counts = lengths(starts, values.shape[-1]) - lost
    with np.errstate(over="ignore"):
        sums = np.add.reduceat(np.where(finite, values, 0.0), starts, axis=-1)
    low = np.minimum.reduceat(np.where(finite, values, np.inf), starts, axis=-1)
    high = np.maximum.reduceat(np.where(finite, values, -np.inf), starts, axis=-1)
    low[counts == 0] = high[counts == 0] = np.nan
    mean = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    # Of huge values the sum may overflow, and of equal ones the mean may differ in its last digit.
    return Buckets(np.clip(mean, low, high), low, high, lost)


def far_ends(line: Values, low: Values, high: Values) -> tuple[NDArray[bool_], NDArray[bool_]]:
    """Which extremes, low and high, a line of means leaves out that matter: far ones and outermost.

    All of them would be noise over other lines; without any a spike has the height of its mean.

    >>> import numpy as np
    >>> low, high = np.array([0.9, 0.8, 0.9]), np.array([1.1, 9.0, 1.1])
    >>> [ends.tolist() for ends in far_ends(np.array([1.0, 5.0, 1.0]), low, high)]
    [[False, True, False], [False, True, False]]
    """
    import numpy as np

    scaled = np.log if (low[np.isfinite(low)] > 0).all() else np.positive
    with np.errstate(over="ignore"):
        below, above = scaled(line) - scaled(low), scaled(high) - scaled(line)
    return _is_far(below, -low), _is_far(above, high)


def _is_far(distances: Values, ends: Values) -> NDArray[bool_]:
    """Which extremes are as far as that; what the line has reached is not."""
    import numpy as np

    known = np.abs(distances[~np.isnan(distances)])
    usual = np.median(known) if len(known) else np.inf
    outermost = np.max(ends, where=np.isfinite(ends), initial=-np.inf)
    far: NDArray[bool_] = distances > FAR * usual
    far |= (ends == outermost) & (distances > 0)
    return far
