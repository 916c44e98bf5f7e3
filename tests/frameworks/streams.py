"""Random streams of losses with everything that can happen to them, and their scalar statistics."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from hypothesis import strategies as st

from multi_loss_weighting import RatioSettings
from multi_loss_weighting.statistics._record import LossRecord
from multi_loss_weighting.statistics._scalar import add, begin_epoch
from multi_loss_weighting.statistics._settings import StatisticsSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

COUNT = 3


class Times(NamedTuple):
    """A loss that is so many times its running mean."""

    factor: float


class Step(NamedTuple):
    """One step of a stream."""

    values: NDArray[np.float64]  # [K], nan where a loss is missing
    is_given: list[bool]
    samples: float
    records: list[LossRecord]  # after it


def _around(bound: float) -> list[Times]:
    return [Times(math.nextafter(bound, end)) for end in (0.0, bound, math.inf)]


# The bounds are powers of two, so that a loss of so many times its mean has exactly that ratio.
SPIKES = (4.0, 128.0)
BOUNDS = [one for spike in SPIKES for bound in (spike, 1 / spike) for one in _around(bound)]
USUAL = st.floats(0.5, 2.0)
UNUSUAL = st.sampled_from(
    [
        *(0.0, -0.0, 1e-300, 5e-324, 1e-3, 1e3, 1e6, -1.0, -1e4),
        *(math.nan, math.inf, -math.inf, None),
        *(1e149, 1e150, -1e150, 1e160, 1e308, -1e308, 1.7e308),
        *BOUNDS,
    ]
)
LOSS = st.one_of(USUAL, USUAL, UNUSUAL)
ROW = st.tuples(st.lists(LOSS, min_size=COUNT, max_size=COUNT), st.sampled_from([1, 1, 1, 3, 0.5]))
# The same row again and again brings streaks to the patience and beyond it.
STREAMS = st.lists(st.tuples(ROW, st.sampled_from([1, 1, 1, 2, 3, 4])), min_size=1, max_size=25)
SETTINGS = st.builds(
    RatioSettings,
    decay=st.sampled_from([None, 0.8, 0.01]),
    spike=st.sampled_from((*SPIKES, math.inf)),
    patience=st.sampled_from([1, 2, 3, 10]),
)
Stream = list[tuple[tuple[list[float | Times | None], float], int]]


def steps_of(stream: Stream, settings: RatioSettings) -> Iterator[Step]:
    """The losses of each step, and what the scalar form makes of them."""
    rules = StatisticsSettings(ratio=settings).rules(None)
    records = [LossRecord() for _ in range(COUNT)]
    for (row, samples), repeats in stream:
        for _ in range(repeats):
            values = [_value(one, record) for one, record in zip(row, records, strict=True)]
            for index, value in enumerate(values):
                if value is not None:
                    numbers = add(records[index], value, samples, 0, 1.0, rules)
                    records[index] = LossRecord._make(numbers)
            is_given = [value is not None for value in values]
            losses = np.array([math.nan if value is None else value for value in values])
            yield Step(losses, is_given, samples, list(records))
        # Where an epoch ends makes no difference to any other number.
        records = [LossRecord._make(begin_epoch(record)) for record in records]


def _value(one: float | Times | None, record: LossRecord) -> float | None:
    return one.factor * record.reference if isinstance(one, Times) else one


def column(records: list[LossRecord], name: str) -> NDArray[np.float64]:
    """One number of each record; 0 for a loss of which none is known yet."""
    count = "ratio_count" if name in ("ratio_running_mean", "ratio_variance") else "count"
    return np.array(
        [
            float(getattr(one, name)) if name == "nonfinite" or getattr(one, count) else 0.0
            for one in records
        ]
    )
