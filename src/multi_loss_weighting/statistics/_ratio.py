"""The ratio of a loss to its own running mean, and how much that ratio varies.

CoV-Weighting (Groenendijk et al., arXiv:2009.01717) weighs a loss by the coefficient of variation
of its ratio

    l_t = L_t / mu_{t-1},    l_1 = 1,    c = sigma_l / mu_l,

where mu is the running mean of the loss. We take every loss by its magnitude: for a positive loss
this is the paper, a negative one weighs as its mirror image, and one that changes its sign, whose
mean may pass through 0, weighs by how much its size varies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._windows import checked_decay

if TYPE_CHECKING:
    from multi_loss_weighting._state import State

EPSILON = 1e-8
"""Stands under the root of sigma_l, as in the authors' code, so that no ratio is without spread."""

KEPT = ("value", "reference", "count", "mean", "variance", "streak", "spikes", "restarts")
"""The numbers of one ratio that the next one depends on, and the counts."""


@dataclass(frozen=True)
class RatioSettings:
    """How the statistics of a loss ratio are kept. The guards act where the formula breaks.

    Args:
        decay: None for the mean of all steps; a number between 0 and 1 for an exponentially
            weighted mean and variance, which forget, e.g. 0.99.
        spike: A loss above `spike` times its running mean is counted and kept out: one spike of
            a million would hold nearly all the weight for hundreds of steps. With `decay` so is
            one below 1 / `spike` of it, since mean and variance fade, and their CoV grows without
            bound, when a loss stays near 0.
        patience: After this many in a row the loss has moved: its ratio starts again with the next
            one. This also cures a first value that is tiny; one of 0 starts nothing.

    Raises:
        ValueError: If an option is outside the range that makes sense.
    """

    decay: float | None = None
    spike: float = 100.0
    patience: int = 10

    def __post_init__(self) -> None:
        if self.decay is not None:
            checked_decay(self.decay)
        if not self.spike > 1:
            msg = f"spike is a multiple of the running mean, so it is above 1; got {self.spike}"
            raise ValueError(msg)
        if self.patience < 1:
            msg = f"patience counts spikes in a row, so it is 1 or more; got {self.patience}"
            raise ValueError(msg)

    @property
    def highest(self) -> float:
        """The ratio above which a loss is kept out; finite, so that infinity is above it."""
        return min(self.spike, 1e100)

    @property
    def lowest(self) -> float:
        """The ratio below which a loss is kept out."""
        return 0.0 if self.decay is None else 1 / self.spike

    @property
    def least(self) -> float:
        """The smallest share that a new value gets in the means."""
        return 0.0 if self.decay is None else 1 - self.decay


class LossRatio:
    """The ratio of one loss to its running mean, with its own mean, std and CoV.

    `value` is the last ratio, `reference` the running mean of the loss's magnitude, `count` how
    many values entered since it began: at first, and when a loss has moved, it is 0. `spikes` and
    `restarts` count what the guards did.

    >>> ratio = LossRatio()
    >>> for loss in (2.0, 4.0, 3.0):
    ...     ratio.add(loss)
    >>> ratio.value, ratio.reference
    (1.0, 3.0)
    """

    __slots__ = (*KEPT, "_highest", "_least", "_lowest", "_patience")

    def __init__(self, settings: RatioSettings | None = None) -> None:
        settings = settings or RatioSettings()
        self._least, self._highest = settings.least, settings.highest
        self._patience, self._lowest = settings.patience, settings.lowest
        self.value = math.nan
        self.reference = 0.0
        self.count = 0
        self.mean = math.nan
        self.variance = 0.0
        self.streak = 0
        self.spikes = 0
        self.restarts = 0

    def add(self, loss: float) -> None:
        """Take in one finite loss."""
        size, reference = abs(loss), self.reference
        if not reference:
            self._begin(size)
            return
        ratio = size / reference
        if self._lowest <= ratio <= self._highest:
            self.streak = 0
            self.count = count = self.count + 1
            share = 1 / count
            if share < self._least:
                share = self._least
            self.value = ratio
            self.reference = reference + share * (size - reference)
            mean = self.mean
            delta = ratio - mean
            step = share * delta
            self.mean = mean + step
            self.variance = (1 - share) * (self.variance + step * delta)
        else:
            self._keep_out(ratio)

    def _begin(self, size: float) -> None:
        """Measure by this loss, unless it is 0, by which nothing can be measured."""
        if size:
            self.restarts += self.spikes > 0
            self.value = self.mean = 1.0
            self.reference = size
            self.variance = 0.0
            self.count = 1
            self.streak = 0

    def _keep_out(self, ratio: float) -> None:
        """Count it; so many in a row are the new level, where the next one begins."""
        self.value = ratio
        self.spikes += 1
        self.streak += 1
        if self.streak >= self._patience:
            self.count = 0
            self.reference = 0.0

    @property
    def std(self) -> float:
        """sqrt(variance + 1e-8), the authors' sigma_l."""
        return math.sqrt(self.variance + EPSILON)

    @property
    def cov(self) -> float:
        """C = sigma_l / mu_l; nan before the first loss."""
        return math.sqrt(self.variance + EPSILON) / self.mean

    def state_dict(self) -> State:
        """Every number that the next ratio depends on, and the counts."""
        return {name: getattr(self, name) for name in KEPT}

    def load_state_dict(self, state: State) -> None:
        """Continue from `state_dict()`."""
        for name in KEPT:
            setattr(self, name, state[name])
