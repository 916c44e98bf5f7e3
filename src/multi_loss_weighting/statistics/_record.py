"""LossRecord: the plain numbers of one loss on the host."""

from __future__ import annotations

import math
from array import array
from typing import Any, NamedTuple

from ._recent import Recent

EPSILON = 1e-8
"""Stands under the root of sigma_l, as in the authors' code, so that no ratio is without spread."""


Numbers = tuple[Any, ...]
"""The fields of a `LossRecord` as a plain tuple, which is made in a third of the time."""


class Rare(NamedTuple):
    """What changes in few steps, or only where somebody asked for it.

    `forgotten` is how many updates came before the oldest value of a state that kept fewer.
    """

    first: float = math.nan
    nonfinite: int = 0
    first_nonfinite_step: int = -1
    last_nonfinite_step: int = -1
    clamped: int = 0
    streak: int = 0
    spikes: int = 0
    restarts: int = 0
    exponential_count: int = 0
    exponential_mean: float = math.nan
    block_position: int = 0
    blocks_completed: int = 0
    forgotten: int = 0
    block: Numbers | None = None
    last_block: Numbers | None = None


class _Fields(NamedTuple):
    """What changes at each step, in the order in which `add` takes it apart."""

    count: int = 0  # type: ignore[assignment]  # of a tuple nobody asks how often a value is in it
    samples: float = 0.0
    running_mean: float = 0.0
    squares: float = 0.0
    lowest: float = math.inf
    highest: float = -math.inf
    updates: int = 0
    value: float = math.nan
    ratio: float = math.nan
    reference: float = 0.0
    ratio_count: int = 0
    ratio_running_mean: float = math.nan
    ratio_variance: float = 0.0
    epoch_running_mean: float = 0.0
    epoch_samples: float = 0.0
    last_weight: float = math.nan
    rare: Rare = Rare()
    kept: array[float] = array("d", [0.0])


class LossRecord(_Fields):
    """Everything that is known of one loss: float64, constant in size, never changed in place.

    `add` makes the numbers of the next step out of these, so that a step is taken in wholly or not
    at all. One array `kept` serves all steps, so who holds a record holds a `snapshot`. Before the
    first value a mean is nan. The population variance weighs by samples where they were given.

    `count` is how many finite values came, `updates` how many at all, `samples` the sum of their
    sample counts; `value` is the last one. `ratio` is the last loss over the running mean before
    it, L_t / mu_{t-1}, `reference` that running mean, and `ratio_count` how many values entered the
    ratio since it began. `last_weight` is the weight of the last step.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        """One line, without the values that are kept."""
        return (
            f"LossRecord(loss={self.value:.4g}, mean={self.mean:.4g}, std={self.std:.4g},"
            f" last_weight={self.last_weight:.4g}, count={self.count})"
        )

    @property
    def mean(self) -> float:
        """Mean of all finite losses."""
        return summary(self)[0]

    @property
    def std(self) -> float:
        """Standard deviation, the square root of `variance`."""
        return summary(self)[1]

    @property
    def variance(self) -> float:
        """Population variance: the mean squared distance from the mean."""
        return summary(self)[2]

    @property
    def cov(self) -> float:
        """Coefficient of variation, std / |mean|; infinite where only the mean is 0."""
        return summary(self)[3]

    @property
    def cov_weight(self) -> float:
        """C = sigma_l / mu_l of the ratio; nan before it began."""
        return summary(self)[4]

    @property
    def sum(self) -> float:
        """Sum of value times samples."""
        return self.running_mean * self.samples

    @property
    def minimum(self) -> float:
        """Smallest finite loss."""
        return self.lowest if self.count else math.nan

    @property
    def maximum(self) -> float:
        """Largest finite loss."""
        return self.highest if self.count else math.nan

    @property
    def first(self) -> float:
        """The first finite loss."""
        return self.rare.first

    @property
    def ratio_mean(self) -> float:
        """Mean of the ratio; nan before it began."""
        return self.ratio_running_mean if self.ratio_count else math.nan

    @property
    def ratio_std(self) -> float:
        """sqrt(variance + 1e-8) of the ratio, the authors' sigma_l; nan before it began."""
        return math.sqrt(self.ratio_variance + EPSILON) if self.ratio_count else math.nan

    @property
    def nonfinite(self) -> int:
        """How many losses were nan or infinite."""
        return self.rare.nonfinite

    @property
    def first_nonfinite_step(self) -> int | None:
        """The first step at which the loss was not finite; None if it always was."""
        return self.rare.first_nonfinite_step if self.rare.nonfinite else None

    @property
    def last_nonfinite_step(self) -> int | None:
        """The last step at which the loss was not finite; None if it always was."""
        return self.rare.last_nonfinite_step if self.rare.nonfinite else None

    @property
    def clamped(self) -> int:
        """How often `max_loss` acted."""
        return self.rare.clamped

    @property
    def spikes(self) -> int:
        """How many losses were kept out of the ratio, far from their running mean."""
        return self.rare.spikes

    @property
    def restarts(self) -> int:
        """How often the ratio began again, since the loss had moved."""
        return self.rare.restarts

    @property
    def exponential_mean(self) -> float:
        """Mean that forgets; nan unless its `decay` was given."""
        return self.rare.exponential_mean

    @property
    def block_mean(self) -> float:
        """Mean of the last complete block; nan unless `block_size` was given."""
        block = self.rare.last_block
        return math.nan if block is None else LossRecord._make(block).mean

    @property
    def block_std(self) -> float:
        """Standard deviation of the last complete block; nan unless `block_size` was given."""
        block = self.rare.last_block
        return math.nan if block is None else LossRecord._make(block).std

    @property
    def blocks_completed(self) -> int:
        """How many blocks are complete."""
        return self.rare.blocks_completed

    @property
    def epoch_mean(self) -> float:
        """Mean of the epoch under way, by samples; nan before its first finite loss."""
        return self.epoch_running_mean if self.epoch_samples else math.nan

    @property
    def recent(self) -> Recent:
        """The last values that are kept."""
        kept, updates = self.kept, self.updates
        # One place is always free for the value of a step that is not taken in yet.
        size = min(len(kept) - 1, updates - self.rare.forgotten)
        start = (updates - size) % len(kept)
        return Recent((kept[start:] + kept[:start])[:size])


UPDATES, VALUE, RATIO_COUNT, EPOCH, LAST_WEIGHT, RARE = map(
    LossRecord._fields.index,
    ("updates", "value", "ratio_count", "epoch_running_mean", "last_weight", "rare"),
)
"""Where these stand among the numbers: each step asks, and a record would have to be made first."""


def summary(numbers: Numbers) -> tuple[float, float, float, float, float]:
    """Mean, std, variance, CoV and CoV of the ratio, of the fields of a record."""
    count, samples, mean, squares, _, _, _, _, _, _, _, ratio_mean, ratio_variance, *_ = numbers
    cov_weight = math.sqrt(ratio_variance + EPSILON) / ratio_mean
    if not count:
        return math.nan, math.nan, math.nan, math.nan, cov_weight
    variance = squares / samples
    std = math.sqrt(variance)
    if mean:
        return mean, std, variance, std / abs(mean), cov_weight
    return mean, std, variance, math.inf if squares else math.nan, cov_weight


def snapshot(record: LossRecord) -> LossRecord:
    """The record with a copy of the last values: `add` writes new ones to where they are kept."""
    return record._replace(kept=record.kept[:]) if len(record.kept) > 1 else record


def with_clamped(numbers: Numbers) -> Numbers:
    """The numbers with one more loss that was scaled down to its limit."""
    rare = numbers[RARE]
    return (*numbers[:RARE], rare._replace(clamped=rare.clamped + 1), *numbers[RARE + 1 :])


def with_weight(numbers: Numbers, weight: float) -> Numbers:
    """The numbers after a step in which the loss had no part."""
    return (*numbers[:LAST_WEIGHT], weight, *numbers[RARE:])


BLANK = tuple(LossRecord())
"""Before the first value, of a loss of which no values are kept."""


def new_record(history: int = 0, *, has_blocks: bool = False) -> LossRecord:
    """The record of a loss before its first value, which keeps so many of the last ones."""
    rare = Rare(block=BLANK, last_block=BLANK) if has_blocks else Rare()
    return LossRecord(rare=rare, kept=array("d", bytes(8 * (history + 1))))
