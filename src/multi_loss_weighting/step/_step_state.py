"""StepState: all that changes at a step, and how the losses of a step change it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from multi_loss_weighting.distributed._sums import Tallied
from multi_loss_weighting.statistics._record import with_clamped, with_weight
from multi_loss_weighting.statistics._scalar import add, add_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor

    from multi_loss_weighting.batch._batch import Batch
    from multi_loss_weighting.statistics._record import Numbers

    from ._losses import LossSet
    from ._memory import Weighed


class StepState(NamedTuple):
    """All that changes at a step. A new one takes the place of the old one by a single store.

    Attributes:
        step: The next step.
        losses: The losses.
        records: What is known of each.
        number: How many steps were recorded.
        taken: How many of them are in `records`; the others are on their way from a device.
        buffer: Which buffer of the device's history is current.
        remembered: What `weigh` used since the last step.
        sums: The micro-batches since the last step, as a tally [5, K].
        finite: Whether all losses of the last step were finite.
        epoch: How many epochs have ended.
        extra: Sum and count of each number of the user's own that came with the micro-batches.
        untold: Iterators over the losses and the weights of a step of which the weighting does not
            know yet.
        empty: How many steps had no loss, since they were of no sample.
    """

    step: int
    losses: LossSet
    records: Sequence[Numbers]
    number: int = 0
    taken: int = 0
    buffer: int = 0
    remembered: tuple[Weighed, ...] = ()
    sums: Tensor | None = None
    finite: bool | Callable[[], Tensor] = True
    epoch: int = 0
    extra: Mapping[str, tuple[Any, int]] = {}
    untold: tuple[Iterator[Tensor], Iterator[Tensor]] | None = None
    empty: int = 0

    @property
    def updates(self) -> int:
        """How many steps had a loss, those that are on their way among them."""
        return self.number - self.empty


def taken_in(
    state: StepState, batch: Batch, weights: list[float], measured: float | Tallied, step: int
) -> tuple[list[Numbers], list[int]]:
    """The records with a step taken in, and where losses are that were not finite."""
    rules, records, bad = state.losses.rules, [], []
    given = batch.given or [True] * len(weights)
    for index, (old, value, weight) in enumerate(
        zip(state.records, batch.values, weights, strict=True)
    ):
        if isinstance(measured, Tallied):
            samples, nonfinite = measured.samples[index], measured.nonfinite[index]
        else:
            samples, nonfinite = measured, float(not math.isfinite(value))
        if not given[index]:
            new = with_weight(old, weight)
        elif nonfinite and math.isfinite(value):
            new = add_mean(old, value, samples, nonfinite, step, weight, rules)
        else:
            new = add(old, value, samples, step, weight, rules)
        if index in batch.clamped:
            new = with_clamped(new)
        records.append(new)
        if given[index] and nonfinite:
            bad.append(index)
    return records, bad
