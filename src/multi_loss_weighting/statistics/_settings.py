"""How the statistics of a loss are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from loss_loggers.arguments import checked, checked_count, checked_kind


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
            one. This also cures a first value that is tiny. A first value of 0 does not count.

    Raises:
        ValueError: If an option is outside the range that makes sense.
    """

    decay: float | None = None
    spike: float = 100.0
    patience: int = 10

    def __post_init__(self) -> None:
        if self.decay is not None:
            checked_decay(self.decay)
        multiple = "above 1 (a multiple of the running mean)"
        checked(self.spike, lambda spike: spike > 1, "spike", multiple)
        checked_count(self.patience, 1, "patience", "spikes in a row")

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


class Rules(NamedTuple):
    """The settings as the arithmetic takes them."""

    least: float
    lowest: float
    highest: float
    patience: int
    block_size: int
    exponential_share: float
    has_windows: bool


@dataclass(frozen=True)
class StatisticsSettings:
    """How the statistics of each loss are kept.

    Args:
        history: How many of the last values `recent` and `get_history` keep.
        decay: Of the `exponential_mean`, e.g. 0.98; None for none.
        ratio: How the loss ratio, and so `cov_weight`, is kept. A weighting that measures ratios
            has settings of its own, which come first.

    Raises:
        ValueError: If an option is outside the range that makes sense.

    >>> StatisticsSettings(history=100, decay=0.98).history
    100
    """

    history: int = 1000
    decay: float | None = None
    ratio: RatioSettings = field(default_factory=RatioSettings)

    def __post_init__(self) -> None:
        history = checked_count(self.history, 0, "history", "values")
        object.__setattr__(self, "history", history)
        checked_kind(self.ratio, RatioSettings, "ratio")
        if self.decay is not None:
            checked_decay(self.decay)

    def rules(self, block_size: int | None) -> Rules:
        """What the arithmetic needs to know."""
        if block_size is not None:
            checked_count(block_size, 1, "block_size", "updates")
        return Rules(
            self.ratio.least,
            self.ratio.lowest,
            self.ratio.highest,
            self.ratio.patience,
            block_size or 0,
            0.0 if self.decay is None else 1 - self.decay,
            block_size is not None or self.decay is not None,
        )


def checked_decay(decay: float) -> float:
    """`decay` itself, if it keeps a part of the past and takes in a part of the present."""
    needed = "between 0 and 1 (the share of the past that is kept)"
    own: float = checked(decay, lambda share: 0 < share < 1, "decay", needed)
    return own
