"""The running numbers of one loss."""

from __future__ import annotations

import math
from math import isfinite
from typing import TYPE_CHECKING

from ._moments import Moments
from ._ratio import LossRatio
from ._windows import Blocks, ExponentialMean, Recent

if TYPE_CHECKING:
    from multi_loss_weighting._state import State


class Statistics(Moments):
    """Everything that is known of one loss: float64, constant in cost and in size.

    A value that is not finite enters no statistic. It is counted in `nonfinite`, with the first
    and the last step at which one came.

    Args:
        block_size: Updates per block, e.g. the batches of an epoch; None for no `blocks`.
        history: How many of the last values `recent` keeps.
        decay: Of the `exponential_mean`, e.g. 0.98; None for none.
        loss_ratio: Keeps the ratio of the loss to its running mean.

    Raises:
        ValueError: If an option is outside the range that makes sense.

    >>> statistics = Statistics()
    >>> for loss in (2.0, 4.0, float("nan")):
    ...     statistics.add(loss)
    >>> statistics.mean, statistics.std, statistics.ratio, statistics.nonfinite
    (3.0, 1.0, 2.0, 1)
    """

    __slots__ = (
        "_windows",
        "blocks",
        "exponential_mean",
        "first_nonfinite_step",
        "last_nonfinite_step",
        "loss_ratio",
        "nonfinite",
        "recent",
        "updates",
        "value",
    )

    def __init__(
        self,
        *,
        block_size: int | None = None,
        history: int = 1000,
        decay: float | None = None,
        loss_ratio: LossRatio | None = None,
    ) -> None:
        super().__init__()
        self.updates = 0
        self.value = math.nan
        self.nonfinite = 0
        self.first_nonfinite_step: int | None = None
        self.last_nonfinite_step: int | None = None
        self.recent = Recent(history)
        self.blocks = None if block_size is None else Blocks(block_size)
        self.exponential_mean = None if decay is None else ExponentialMean(decay)
        self.loss_ratio = LossRatio() if loss_ratio is None else loss_ratio
        windows = (self.blocks, self.exponential_mean)
        self._windows = tuple(window for window in windows if window is not None)

    def add(self, value: float, samples: float = 1, step: int | None = None) -> None:
        """Take in one value.

        Args:
            value: The loss.
            samples: How many samples it is the average of; the mean and the variance weigh by it.
            step: Remembered if the value is not finite; by default the number of updates so far.
        """
        self.value = value = float(value)
        self.recent.kept.append(value)
        if self._windows:
            self.add_to_windows(value, samples)
        self.updates += 1
        if not isfinite(value):
            self.count_nonfinite(self.updates - 1 if step is None else step)
            return
        # Moments.add, spelled out: the call is a tenth of what a step costs.
        self.count += 1
        before = self.samples
        self.samples = total = before + samples
        delta = value - self._mean
        change = (delta if samples == 1 else delta * samples) / total
        self._mean += change
        self._squares += before * delta * change
        if value < self._minimum:
            self._minimum = value
        if value > self._maximum:
            self._maximum = value
        self.loss_ratio.add(value)

    @property
    def has_windows(self) -> bool:
        """Whether there are blocks or an exponential mean."""
        return bool(self._windows)

    def add_to_windows(self, value: float, samples: float) -> None:
        """Hand a value to the blocks and the exponential mean alone."""
        for window in self._windows:
            window.add(value, samples)

    def count_nonfinite(self, step: int) -> None:
        """Count a value that was not finite."""
        if not self.nonfinite:
            self.first_nonfinite_step = step
        self.last_nonfinite_step = step
        self.nonfinite += 1

    @property
    def ratio(self) -> float:
        """The last loss over the running mean before it, L_t / mu_{t-1}; 1 at first."""
        return self.loss_ratio.value

    @property
    def ratio_mean(self) -> float:
        """Mean of the ratio; nan before the first loss."""
        return self.loss_ratio.mean if self.loss_ratio.count else math.nan

    @property
    def ratio_std(self) -> float:
        """Standard deviation of the ratio; nan before the first loss."""
        return self.loss_ratio.std if self.loss_ratio.count else math.nan

    def state_dict(self) -> State:
        """Every number that must survive a restart."""
        return {
            "moments": super().state_dict(),
            "updates": self.updates,
            "value": self.value,
            "nonfinite": self.nonfinite,
            "first_nonfinite_step": self.first_nonfinite_step,
            "last_nonfinite_step": self.last_nonfinite_step,
            "recent": self.recent.values(),
            "blocks": self.blocks.state_dict() if self.blocks else {},
            "exponential_mean": self.exponential_mean.state_dict() if self.exponential_mean else {},
            "loss_ratio": self.loss_ratio.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Continue from `state_dict()`, to the last bit."""
        super().load_state_dict(state["moments"])
        self.updates, self.value = state["updates"], state["value"]
        self.nonfinite = state["nonfinite"]
        self.first_nonfinite_step = state["first_nonfinite_step"]
        self.last_nonfinite_step = state["last_nonfinite_step"]
        self.recent.load(state["recent"])
        if self.blocks is not None:
            self.blocks.load_state_dict(state["blocks"])
        if self.exponential_mean is not None:
            self.exponential_mean.load_state_dict(state["exponential_mean"])
        self.loss_ratio.load_state_dict(state["loss_ratio"])
