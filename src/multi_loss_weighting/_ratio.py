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

from ._window import checked_decay

if TYPE_CHECKING:
    from ._state import State

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
        patience: After this many in a row the loss has moved, and its ratio starts again. This
            also cures a first value that is 0 or tiny.
        floor: A running mean up to this counts as 0, over which there is no ratio: it is 1.

    Raises:
        ValueError: If an option is outside the range that makes sense.
    """

    decay: float | None = None
    spike: float = 100.0
    patience: int = 10
    floor: float = 1e-12

    def __post_init__(self) -> None:
        if self.decay is not None:
            checked_decay(self.decay)
        if not self.spike > 1:
            msg = f"spike is a multiple of the running mean, so it is above 1; got {self.spike}"
            raise ValueError(msg)
        if self.patience < 1:
            msg = f"patience counts spikes in a row, so it is 1 or more; got {self.patience}"
            raise ValueError(msg)
        if not self.floor >= 0:
            msg = f"floor bounds a magnitude, so it is 0 or more; got {self.floor}"
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
    many values entered since the start or the last restart. `spikes` and `restarts` count what
    the guards did.

    >>> ratio = LossRatio()
    >>> for loss in (2.0, 4.0, 3.0):
    ...     ratio.add(loss)
    >>> ratio.value, ratio.reference
    (1.0, 3.0)
    """

    __slots__ = (*KEPT, "_floor", "_highest", "_least", "_lowest", "_patience")

    def __init__(self, settings: RatioSettings | None = None) -> None:
        settings = settings or RatioSettings()
        self._least, self._highest = settings.least, settings.highest
        self._patience, self._floor = settings.patience, settings.floor
        self._lowest = settings.lowest
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
        is_far = size > self._highest * reference or size < self._lowest * reference
        if is_far or not self.count:
            self._add_unusual(size)
            return
        self.streak = 0
        self.count = count = self.count + 1
        share = 1 / count
        if share < self._least:
            share = self._least
        self.value = ratio = size / reference if reference > self._floor else 1.0
        self.reference = reference + share * (size - reference)
        delta = ratio - self.mean
        self.mean += share * delta
        self.variance = (1 - share) * (self.variance + share * delta * delta)

    def _add_unusual(self, size: float) -> None:
        """Take in the first loss, or a spike."""
        if not self.count or self._is_settled(size):
            self._begin(size)

    def _begin(self, size: float) -> None:
        self.value = self.mean = 1.0
        self.reference = size
        self.variance = 0.0
        self.count = 1
        self.streak = 0

    def _is_settled(self, size: float) -> bool:
        """Count a spike; true where so many came in a row that they are the new level."""
        self.spikes += 1
        self.streak += 1
        self.value = size / self.reference if self.reference > self._floor else math.inf
        settled = self.streak >= self._patience
        self.restarts += settled
        return settled

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
