"""The mean of the last values at each step, for a calmer line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loss_dashboard._typing import Values


def smooth(values: Values, window: int) -> Values:
    """The mean of the last `window` values at each step, without those that are not finite.

    Of several rows of values each is smoothed by itself.

    >>> import numpy as np
    >>> smooth(np.array([1.0, 3.0, np.nan, 5.0]), window=3).tolist()
    [1.0, 2.0, 2.0, 4.0]
    """
    import numpy as np

    finite = np.isfinite(values)
    sums = _last_sums(np.where(finite, values, 0.0), window)
    counts = np.cumsum(finite, axis=-1)
    counts[..., window:] -= counts[..., :-window].copy()
    means: Values = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return means


def _last_sums(values: Values, window: int) -> Values:
    """Sums of what the window holds, by blocks: a huge value is gone when it leaves the window."""
    import numpy as np

    *rows, length = values.shape
    window = max(1, min(window, length))
    if window == 1:
        return values
    blocks = np.zeros((*rows, -(-length // window), window))
    blocks.reshape(*rows, -1)[..., :length] = values
    sums: Values = blocks.cumsum(axis=-1).reshape(*rows, -1)[..., :length]
    rests = blocks[..., ::-1].cumsum(axis=-1)[..., ::-1]
    rests[..., 0] = 0.0  # of a whole block the sum is there already
    sums[..., window:] += rests.reshape(*rows, -1)[..., 1 : length - window + 1]
    return sums
