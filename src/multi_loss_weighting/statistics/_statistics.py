"""The running numbers of one loss, on its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from loss_loggers.arguments import checked, checked_kind

from ._record import LossRecord, new_record
from ._scalar import add
from ._settings import StatisticsSettings
from ._view import LossView

if TYPE_CHECKING:
    from ._record import Numbers


class Statistics(LossView):
    """Everything that is known of one loss: float64, constant in cost and in size.

    A value that is not finite enters no statistic. It is counted in `nonfinite`, with the first
    and the last step at which one came.

    Args:
        settings: How the statistics are kept; None for the defaults.
        block_size: Updates per block, e.g. the batches of an epoch; None for no blocks.

    Raises:
        ValueError: If an option is outside the range that makes sense.

    >>> statistics = Statistics()
    >>> for loss in (2.0, 4.0, float("nan")):
    ...     statistics.add(loss)
    >>> statistics.mean, statistics.std, statistics.ratio, statistics.nonfinite
    (3.0, 1.0, 2.0, 1)
    """

    def __init__(
        self, settings: StatisticsSettings | None = None, *, block_size: int | None = None
    ) -> None:
        settings = StatisticsSettings() if settings is None else settings
        checked_kind(settings, StatisticsSettings, "settings")
        self._rules = settings.rules(block_size)
        self._numbers: Numbers = new_record(settings.history, has_blocks=block_size is not None)

    @property
    def _now(self) -> LossRecord:
        return LossRecord._make(self._numbers)

    def add(self, value: float, samples: float = 1, step: int | None = None) -> None:
        """Take in one value.

        Args:
            value: The loss.
            samples: How many samples it is the mean of; with 0 it counts as nothing.
            step: Remembered if the value is not finite; by default the number of updates so far.

        Raises:
            ValueError: If `samples` is no number, 0 or more.
        """
        checked(samples, lambda number: 0 <= number < math.inf, "samples", "a number, 0 or more")
        if samples:
            step = self._now.updates if step is None else step
            self._numbers = add(self._numbers, float(value), samples, step, 1.0, self._rules)
