"""What is known of the K losses of a group, for its weighting as vectors."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from ._record import LossRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from ._record import Numbers


class History:
    """The statistics of K losses up to the step before, a vector [K] for each.

    The order is that of `names`. What no loss has shown yet is nan. The vectors are numpy arrays,
    or tensors where the losses are on an accelerator.

    Attributes:
        names: The names of the losses.
        step: The step that is being weighed, from 0.
        present: Which losses take part in this step, a bool tensor [K], or None where all do. One
            that does not (it was not given, or is not finite) is 0 among the losses to weigh.
        are_given: Whether the user gave the names, so that no other loss can come.
        is_on_device: Whether the vectors are tensors on an accelerator.
        will_be_recorded: Whether the answer is for training, which records the step; it is not
            where somebody only looks at the weights.
        terms: What each loss adds to the total, [K], if a weighting says so here in `weigh`: where
            that is more than the loss times its weight, as with a penalty.
    """

    is_on_device = False
    are_given = True
    will_be_recorded = True

    def __init__(self, names: tuple[str, ...], records: Sequence[Numbers]) -> None:
        self.names = names
        self.records = records
        self.step = 0
        self.present: Tensor | None = None
        self.terms: Tensor | None = None

    def __len__(self) -> int:
        return len(self.names)

    def ratios(self) -> Any:
        """The loss ratios as they are kept on an accelerator."""
        raise NotImplementedError

    def gather(self, name: str) -> Any:
        """One number of each loss's record, e.g. `history.gather("epoch_mean")`."""
        return np.array([*map(attrgetter(name), map(LossRecord._make, self.records))])

    @property
    def count(self) -> Any:
        """How many finite values came."""
        return self.gather("count")

    @property
    def first(self) -> Any:
        """The first finite value."""
        return self.gather("first")

    @property
    def value(self) -> Any:
        """The last value."""
        return self.gather("value")

    @property
    def mean(self) -> Any:
        """Mean."""
        return self.gather("mean")

    @property
    def variance(self) -> Any:
        """Population variance."""
        return self.gather("variance")

    @property
    def std(self) -> Any:
        """Standard deviation."""
        return self.gather("std")

    @property
    def cov(self) -> Any:
        """Coefficient of variation, std / |mean|."""
        return self.gather("cov")

    @property
    def minimum(self) -> Any:
        """Smallest value."""
        return self.gather("minimum")

    @property
    def maximum(self) -> Any:
        """Largest value."""
        return self.gather("maximum")

    @property
    def exponential_mean(self) -> Any:
        """Mean that forgets; nan unless the group was given a `decay`."""
        return self.gather("exponential_mean")

    @property
    def block_mean(self) -> Any:
        """Mean of the last complete block; nan unless the group was given a `block_size`."""
        return self.gather("block_mean")

    @property
    def ratio_count(self) -> Any:
        """How many values entered the loss ratio since its start or its last restart."""
        return self.gather("ratio_count")

    @property
    def ratio_mean(self) -> Any:
        """Mean of the loss ratio."""
        return self.gather("ratio_mean")

    @property
    def ratio_std(self) -> Any:
        """Standard deviation of the loss ratio."""
        return self.gather("ratio_std")

    @property
    def ratio_cov(self) -> Any:
        """Coefficient of variation of the loss ratio, c = sigma_l / mu_l; nan before it began."""
        return self.gather("cov_weight")


def shown(history: History, field: str) -> Any:
    """`history.gather(field)`, which waits for no device where the vector is kept there."""
    name = "ratio_cov" if field == "cov_weight" else field
    return getattr(history, name) if hasattr(History, name) else history.gather(field)
