"""Many points as few, with nothing hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from numpy import intp
    from numpy.typing import NDArray

    from ._lines import Values


class Decimated(NamedTuple):
    """What a curve does in each bucket: its mean, how far it reaches, and what was lost.

    Attributes:
        x: where the bucket begins.
        mean: of the finite values; NaN where there is none.
        low: the smallest finite value.
        high: the largest finite value.
        nonfinite: how many values were NaN or infinite.
    """

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
    import numpy as np

    starts = bucket_starts(len(y), buckets)
    finite = np.isfinite(y)
    if not len(y):
        return Decimated(x, y, y, y, y)
    lost = np.add.reduceat((~finite).astype(np.float64), starts)
    counts = np.diff(starts, append=len(y)) - lost
    with np.errstate(over="ignore"):
        sums = np.add.reduceat(np.where(finite, y, 0.0), starts)
    mean = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    low = np.minimum.reduceat(np.where(finite, y, np.inf), starts)
    high = np.maximum.reduceat(np.where(finite, y, -np.inf), starts)
    low[counts == 0] = high[counts == 0] = np.nan
    return Decimated(x[starts], np.clip(mean, low, high), low, high, lost)


def bucket_starts(length: int, buckets: int) -> NDArray[intp]:
    """Where each of at most so many even buckets begins.

    >>> bucket_starts(7, 3).tolist(), bucket_starts(2, 3).tolist()
    ([0, 2, 4], [0, 1])
    """
    import numpy as np

    count = min(length, buckets)
    return np.arange(count, dtype=np.intp) * length // max(count, 1)
