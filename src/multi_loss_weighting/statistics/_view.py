"""LossView: what a user reads of one loss."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING

from ._record import snapshot
from ._scalar import clamp

if TYPE_CHECKING:
    from ._recent import Recent
    from ._record import LossRecord


class LossView:
    """The numbers of one loss, always up to date.

    Reading waits for losses that are still on their way from an accelerator. `record` has all
    numbers of one moment.
    """

    @property
    def record(self) -> LossRecord:
        """All the numbers, once those on their way have come; later steps do not change it."""
        return snapshot(self._now)

    @property
    @abstractmethod
    def _now(self) -> LossRecord:
        """The same, but for the last values: the place where they are kept is written to."""

    @property
    def is_behind(self) -> bool:
        """Whether losses are still on their way from an accelerator, for which reading waits."""
        return False

    @property
    def max_loss(self) -> float:
        """Above it a loss is scaled down to it."""
        return math.inf

    @property
    def value(self) -> float:
        """The last loss, raw; nan before the first."""
        return self._now.value

    @property
    def weighted(self) -> float:
        """The last loss, clamped and times its weight; not finite where the loss is not."""
        record = self._now
        return record.last_weight * clamp(record.value, self.max_loss)

    @property
    def last_weight(self) -> float:
        """The weight of the last step; nan before the first."""
        return self._now.last_weight

    @property
    def count(self) -> int:
        """How many finite losses came."""
        return self._now.count

    @property
    def updates(self) -> int:
        """How many losses came, those that were not finite among them."""
        return self._now.updates

    @property
    def mean(self) -> float:
        """Mean of all finite losses."""
        return self._now.mean

    @property
    def variance(self) -> float:
        """Population variance of all finite losses."""
        return self._now.variance

    @property
    def var(self) -> float:
        """The same as `variance`."""
        return self._now.variance

    @property
    def std(self) -> float:
        """Standard deviation of all finite losses."""
        return self._now.std

    @property
    def cov(self) -> float:
        """Coefficient of variation of the loss, std / |mean|."""
        return self._now.cov

    @property
    def minimum(self) -> float:
        """Smallest finite loss."""
        return self._now.minimum

    @property
    def maximum(self) -> float:
        """Largest finite loss."""
        return self._now.maximum

    @property
    def ratio(self) -> float:
        """The last loss over the running mean before it, L_t / mu_{t-1}; 1 at first."""
        return self._now.ratio

    @property
    def ratio_mean(self) -> float:
        """Mean of the ratio; nan before it began."""
        return self._now.ratio_mean

    @property
    def ratio_std(self) -> float:
        """Standard deviation of the ratio; nan before it began."""
        return self._now.ratio_std

    @property
    def cov_weight(self) -> float:
        """C = sigma_l / mu_l of the ratio, the weight of CoV-Weighting before it is normalised.

        Not comparable to the weights of a group, which are divided by the sum over its losses.
        """
        return self._now.cov_weight

    @property
    def nonfinite(self) -> int:
        """How many losses were nan or infinite."""
        return self._now.nonfinite

    @property
    def clamped(self) -> int:
        """How often `max_loss` acted."""
        return self._now.clamped

    @property
    def spikes(self) -> int:
        """How many losses were kept out of the ratio, far from their running mean."""
        return self._now.spikes

    @property
    def exponential_mean(self) -> float:
        """Mean that forgets; nan unless its `decay` was given."""
        return self._now.exponential_mean

    @property
    def block_mean(self) -> float:
        """Mean of the last complete block; nan unless `block_size` was given."""
        return self._now.block_mean

    @property
    def block_std(self) -> float:
        """Standard deviation of the last complete block; nan unless `block_size` was given."""
        return self._now.block_std

    @property
    def epoch_mean(self) -> float:
        """Mean of the epoch under way, by samples."""
        return self._now.epoch_mean

    @property
    def recent(self) -> Recent:
        """The last values that are kept, with their median and more."""
        return self._now.recent

    def get_history(self, count: int | None = None) -> list[float]:
        """The last `count` losses that are kept, or all of them, oldest first."""
        return self._now.recent.values(count)
