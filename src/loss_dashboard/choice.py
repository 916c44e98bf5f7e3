"""What somebody wants to see of a run."""

from __future__ import annotations

from typing import NamedTuple


class Choice(NamedTuple):
    """What is asked for.

    Attributes:
        first: the first step, by default of all.
        last: the last step, likewise.
        smoothing: losses are averaged over so many steps.
        points: at most so many for each curve.
        window: CoV is also told of so many of the last values.
    """

    first: float | None = None
    last: float | None = None
    smoothing: int = 0
    points: int = 600
    window: int = 100
