"""What each loss contributes to the total, as a share."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from loss_dashboard.runs.run_json import followed_in

from .smooth import smooth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy import bool_
    from numpy.typing import NDArray

    from loss_dashboard._typing import Values

RECENT = 50
"""Shares are computed from this many last steps of a run."""


def shares(losses: dict[str, dict[str, Values]]) -> dict[str, float]:
    """The part of the total that is each loss times its weight, in size, over the last steps.

    It is NaN for a loss that has no weight, or no finite value in these steps: one that is no
    longer recorded has no part in what is optimised now. A loss that comes at every 16th step, as a
    regulariser may, has no part in the others.

    >>> import numpy as np
    >>> def loss(weight, value):
    ...     return {"step": np.arange(2.0), "weight": np.full(2, weight), "loss": np.full(2, value)}
    >>> shares({"G": loss(0.5, 2.0), "D": loss(1.0, -3.0), "val": loss(np.nan, 1.0)})
    {'G': 0.25, 'D': 0.75, 'val': nan}
    """
    import numpy as np

    start = _first_recent_step(losses)
    with np.errstate(all="ignore"):  # a loss may be as large as floats go
        sizes = {name: _size(own, start) for name, own in losses.items()}
        total = sum(size for size in sizes.values() if size == size)
        return {name: size / total if total else float("nan") for name, size in sizes.items()}


def by_size(losses: Mapping[str, dict[str, Values]]) -> str:
    """That shares go by size, where a loss or its weight is negative; a short note beside them.

    >>> import numpy as np
    >>> def loss(value, weight): return {"loss": np.array(value), "weight": np.full(2, weight)}
    >>> by_size({"nll": loss([0.5, -0.5], 1.0), "kl": loss([1.0, 1.0], 1.0)})
    'by size: nll is negative at times'
    >>> by_size({"policy": loss([0.5, 0.5], 1.0), "entropy": loss([1.0, 1.0], -0.01)})
    'by size: the weight of entropy is negative at times'
    """
    kinds = {"loss": "", "weight": "the weight of "}
    signed = {
        name: words
        for name, own in losses.items()
        for key, words in reversed(kinds.items())
        if (own[key] < 0).any()
    }
    if not signed:
        return ""
    (name, words), *others = signed.items()
    who = f"{len(signed)} losses or their weights are" if others else f"{words}{name} is"
    return f"by size: {who} negative at times"


def held_since(losses: dict[str, dict[str, Values]], name: str, least: float) -> float:
    """From which step on a loss has had a share of at least so much, without a break to the end.

    The share is that of `shares`, as it was at each step. NaN if it is smaller now.

    >>> import numpy as np
    >>> steps = np.arange(200.0)
    >>> rises = {"step": steps, "weight": np.ones(200), "loss": np.where(steps < 80, 1.0, 99.0)}
    >>> steady = {"step": steps, "weight": np.ones(200), "loss": np.ones(200)}
    >>> held_since({"G": rises, "D": steady}, "G", 0.9)
    80.0
    """
    import numpy as np

    steps = _steps(losses)
    own, whole = np.full((2, len(steps)), np.nan), np.zeros((2, len(steps)))
    with np.errstate(all="ignore"):
        for other, series in losses.items():
            sizes = _sizes_at(steps, series)
            both = np.stack([sizes, smooth(np.where(np.isfinite(sizes), sizes, 0.0), RECENT)])
            own = both if other == name else own
            both = np.where(np.isfinite(both), both, 0.0)
            whole += both
        now, mean = own >= least * whole
    if not mean[-1:].any():
        return float("nan")
    start = _last_stretch(mean, len(steps))
    return float(steps[_last_stretch(now, start + 1) if now[start] else start])


def _steps(losses: dict[str, dict[str, Values]]) -> Values:
    """The steps of all losses, in order; those of a group have the same, which need no sorting."""
    import numpy as np

    first, *others = [own["step"] for own in losses.values()]
    is_even = bool((first[1:] > first[:-1]).all())
    if is_even and all(np.array_equal(first, other) for other in others):
        return first
    return np.unique(np.concatenate([first, *others]))


def _sizes_at(steps: Values, series: dict[str, Values]) -> Values:
    """What a loss was times its weight, in size; NaN at a step that it does not have."""
    import numpy as np

    own: Values = np.abs(series["loss"] * series["weight"])
    if np.array_equal(steps, series["step"]):
        return own
    sizes = np.full(len(steps), np.nan)
    sizes[np.searchsorted(steps, series["step"])] = own
    return sizes


def _last_stretch(held: NDArray[bool_], end: int) -> int:
    """Where the stretch begins that ends there."""
    import numpy as np

    breaks = np.flatnonzero(~held[:end])
    return int(breaks[-1]) + 1 if len(breaks) else 0


def shares_of(parts: dict[str, float]) -> dict[str, float]:
    """The size of each part, of the sum of those that are finite.

    >>> shares_of({"G": 1.0, "D": -3.0, "E": float("nan")})
    {'G': 0.25, 'D': 0.75, 'E': nan}
    """
    whole = sum(abs(part) for part in parts.values() if isfinite(part))
    return {name: abs(part) / (whole or 1.0) for name, part in parts.items()}


def objective(settings: Mapping[str, Any], losses: Mapping[str, Any]) -> list[str]:
    """The names of the losses that are optimised: all but those of a validation."""
    followed = followed_in(settings, list(losses))
    return [name for name in losses if name not in followed]


def _first_recent_step(losses: dict[str, dict[str, Values]]) -> float:
    import numpy as np

    steps = np.concatenate([own["step"][-RECENT:] for own in losses.values()] or [np.zeros(1)])
    return float(np.unique(steps)[-RECENT:][0])


def _size(own: dict[str, Values], start: float) -> float:
    import numpy as np

    last = slice(-RECENT, None)
    sizes = np.abs(own["loss"][last] * own["weight"][last])
    known = sizes[(own["step"][last] >= start) & np.isfinite(sizes)]
    return float(known.sum()) if len(known) else float("nan")
