"""The arithmetic behind a curve on paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy import float64
    from numpy.typing import NDArray

    Values = NDArray[float64]


def smooth(values: Values, window: int) -> Values:
    """The mean of the last `window` values at each step, without those that are not finite.

    >>> import numpy as np
    >>> smooth(np.array([1.0, 3.0, np.nan, 5.0]), window=3).tolist()
    [1.0, 2.0, 2.0, 4.0]
    """
    import numpy as np

    finite = np.isfinite(values)
    sums = _last_sums(np.where(finite, values, 0.0), window)
    counts = np.cumsum(finite)
    counts[window:] -= counts[:-window].copy()
    means: Values = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return means


def _last_sums(values: Values, window: int) -> Values:
    """Sums of what the window holds, by blocks: a huge value is gone when it leaves the window."""
    import numpy as np

    length = len(values)
    window = max(1, min(window, length))
    if window == 1:
        return values
    blocks = np.zeros((-(-length // window), window))
    blocks.flat[:length] = values
    sums: Values = blocks.cumsum(axis=1).ravel()[:length]
    rests = blocks[:, ::-1].cumsum(axis=1)[:, ::-1]
    rests[:, 0] = 0.0  # of a whole block the sum is there already
    sums[window:] += rests.ravel()[1 : length - window + 1]
    return sums


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Positions at least `gap` apart, in the order of the old ones and near them.

    >>> spread([0.5, 0.5, 0.9], gap=0.25)
    [0.375, 0.625, 0.9]
    """
    clusters: list[list[int]] = []
    for index in sorted(range(len(positions)), key=positions.__getitem__):
        clusters.append([index])
        while len(clusters) > 1 and _overlap(positions, clusters[-2], clusters[-1], gap):
            clusters[-2:] = [clusters[-2] + clusters[-1]]
    spaced = {
        index: _first(positions, cluster, gap) + rank * gap
        for cluster in clusters
        for rank, index in enumerate(cluster)
    }
    return [spaced[index] for index in range(len(positions))]


def _first(positions: Sequence[float], cluster: list[int], gap: float) -> float:
    """Where a cluster starts that is centred on the mean of its members."""
    return sum(positions[index] for index in cluster) / len(cluster) - (len(cluster) - 1) * gap / 2


def _overlap(positions: Sequence[float], lower: list[int], upper: list[int], gap: float) -> bool:
    last = _first(positions, lower, gap) + (len(lower) - 1) * gap
    return _first(positions, upper, gap) - last < gap - 1e-9
