"""What each loss contributes to the total, as a share."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loss_dashboard._typing import Values

RECENT = 50
"""Shares are told from the mean of so many of the last steps of a run."""


def shares(losses: dict[str, dict[str, Values]]) -> dict[str, float]:
    """The part of the total that is each loss times its weight, in size, over the last steps.

    It is NaN for a loss that has no weight, or no finite value in these steps: one that is no
    longer recorded has no part in what is optimised now.

    >>> import numpy as np
    >>> def loss(weight, value):
    ...     return {"step": np.arange(2.0), "weight": np.full(2, weight), "loss": np.full(2, value)}
    >>> shares({"G": loss(0.5, 2.0), "D": loss(1.0, -3.0), "val": loss(np.nan, 1.0)})
    {'G': 0.25, 'D': 0.75, 'val': nan}
    """
    import numpy as np

    start = _first_recent_step(losses)
    with np.errstate(all="ignore"):  # a loss may be as large as floats go
        sizes = {name: _mean_size(own, start) for name, own in losses.items()}
        total = sum(size for size in sizes.values() if size == size)
        return {name: size / total if total else float("nan") for name, size in sizes.items()}


def shares_of(parts: dict[str, float]) -> dict[str, float]:
    """The size of each part, of the sum of those that are finite.

    >>> shares_of({"G": 1.0, "D": -3.0, "E": float("nan")})
    {'G': 0.25, 'D': 0.75, 'E': nan}
    """
    whole = sum(abs(part) for part in parts.values() if isfinite(part))
    return {name: abs(part) / (whole or 1.0) for name, part in parts.items()}


def _first_recent_step(losses: dict[str, dict[str, Values]]) -> float:
    import numpy as np

    steps = np.concatenate([own["step"][-RECENT:] for own in losses.values()] or [np.zeros(1)])
    return float(np.unique(steps)[-RECENT:][0])


def _mean_size(own: dict[str, Values], start: float) -> float:
    import numpy as np

    last = slice(-RECENT, None)
    sizes = np.abs(own["loss"][last] * own["weight"][last])
    known = sizes[(own["step"][last] >= start) & np.isfinite(sizes)]
    return float(known.mean()) if len(known) else float("nan")
