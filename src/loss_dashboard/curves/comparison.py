"""How runs beside each other ended: the means of the last steps that all of them have."""

from __future__ import annotations

from math import ceil, inf
from typing import TYPE_CHECKING, Any

from .numbers import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loss_dashboard._typing import Values

    Losses = dict[str, dict[str, Values]]

TAIL = 0.05
"""The part of the shared steps that is compared."""


def compared(
    runs: Sequence[Losses], first: float | None = None, last: float | None = None
) -> list[dict[str, Any]]:
    """For each run the mean of each loss over the same steps, of the rows as they were recorded.

    Of a loss that ended before them in one of the runs as many steps are taken, but earlier ones.
    The steps are None where the runs have none in common.

    Args:
        runs: The `step` and `loss` of each loss of each run.
        first: The steps before it are left out.
        last: The steps behind it are left out.

    >>> import numpy as np
    >>> def run(size): return {"kl": {"step": np.arange(size), "loss": np.arange(size) / 100}}
    >>> [told["losses"]["kl"]["mean"] for told in compared([run(201), run(101)])]
    [0.975, 0.975]
    """
    reached = [_reached(run, first, last) for run in runs]
    begin, end = max(low for low, _ in reached), min(high for _, high in reached)
    if not begin <= end:
        return [{"first": None, "last": None, "losses": {}} for _ in runs]
    length = end - ceil(end - TAIL * (end - begin))
    names = dict.fromkeys(name for run in runs for name in run)
    early = {name: min(_last(run[name], end) for run in runs if name in run) for name in names}
    spans = {name: last if last < end - length else end for name, last in early.items()}
    return [
        {
            "first": end - length,
            "last": end,
            "losses": {
                name: _mean(run[name], spans[name] - length, spans[name])
                for name in spans
                if name in run
            },
        }
        for run in runs
    ]


def _reached(run: Losses, first: float | None, last: float | None) -> tuple[float, float]:
    """The first and the last step that a run has between these; inf and -inf without any."""
    low, high = -inf if first is None else first, inf if last is None else last
    steps = [own["step"] for own in run.values()]
    between = [some for all_ in steps if len(some := all_[(all_ >= low) & (all_ <= high)])]
    begin = min((float(some.min()) for some in between), default=inf)
    return begin, max((float(some.max()) for some in between), default=-inf)


def _last(own: dict[str, Values], end: float) -> float:
    """The last step of a loss, as far as it is looked at."""
    steps = own["step"][own["step"] <= end]
    return float(steps[-1]) if len(steps) else end


def _mean(own: dict[str, Values], first: float, last: float) -> dict[str, Any]:
    import numpy as np

    values = own["loss"][(own["step"] >= first) & (own["step"] <= last)]
    known = values[np.isfinite(values)]
    mean = plain(known.mean()) if len(known) else None
    return {"mean": mean, "lost": int(len(values) - len(known)), "last": last}
