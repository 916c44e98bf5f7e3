"""How a method compares with the plain sum: paired ratios over seeds, with their interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from loss_dashboard.curves.groups import mean_over

if TYPE_CHECKING:
    from collections.abc import Mapping

Key = TypeVar("Key")

TIE = 0.02
"""Less than this part better or worse is a tie, however sure it is."""

LEVEL = 0.05
"""How often at most one true tie among all is to come out as a win or a loss."""

Logs = NDArray[np.float64]


class Comparison(NamedTuple):
    """The ratio of the metric to that of the plain sum, below 1 is better.

    Attributes:
        ratio: The geometric mean over the seeds.
        low: Lower end of its 95 % Student interval.
        high: Upper end.
        ratios: Of each seed.
    """

    ratio: float
    low: float
    high: float
    ratios: tuple[float, ...]

    @property
    def verdict(self) -> str:
        """Win, tie or loss."""
        if self.low <= 1 <= self.high or abs(self.ratio - 1) < TIE:
            return "tie"
        return "win" if self.ratio < 1 else "loss"


def compare(own: Logs, plain: Logs) -> Comparison:
    """Compare the logarithms of the metrics [seeds] of the same seeds.

    >>> compare(np.log([1.0, 2.1, 3.9]), np.log([2.0, 4.0, 8.0])).verdict
    'win'
    >>> same = np.log([1.0, 2.0])
    >>> compare(same, same)
    Comparison(ratio=1.0, low=1.0, high=1.0, ratios=(1.0, 1.0))
    """
    differences = own - plain
    mean = mean_over(differences[:, None])
    middle, half = float(mean.mean[0]), float(mean.half[0])
    ratio, low, high = np.exp([middle, middle - half, middle + half]).tolist()
    return Comparison(ratio, low, high, tuple(np.exp(differences).tolist()))


def chance(ratios: tuple[float, ...]) -> float:
    """How probable a mean as far from 1 is by chance: that of the paired t-test on logarithms.

    >>> round(chance((0.9, 1.0, 0.8)), 3), chance((1.0, 1.0))
    (0.231, 1.0)
    """
    from scipy.stats import ttest_1samp

    logs = np.log(ratios)
    return 1.0 if not logs.any() else float(ttest_1samp(logs, 0).pvalue)


def surviving(chances: Mapping[Key, float]) -> set[Key]:
    """What is left by Holm's correction for the number of all comparisons.

    >>> sorted(surviving({"a": 0.001, "b": 0.024, "c": 0.03, "d": 0.5}))
    ['a']
    """
    left = set()
    for place, name in enumerate(sorted(chances, key=chances.__getitem__)):
        if chances[name] * (len(chances) - place) > LEVEL:
            break
        left.add(name)
    return left


def at_equal_time(own: Logs, plain: Logs, cost: float) -> Comparison:
    """Compare at the time that the plain sum takes, for logarithms [checkpoints, seeds].

    A method that costs more had fewer steps by then; between checkpoints lies a straight line. One
    that costs less is not given more steps.
    """
    count = len(own)
    place = count / max(cost, 1.0) - 1  # among the checkpoints, which are evenly spaced
    below = min(max(int(np.floor(place)), 0), count - 2)
    part = max(place - below, 0.0)
    return compare(own[below] + part * (own[below + 1] - own[below]), plain[-1])
