"""Alerts about the values of a loss."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from loss_dashboard.reading.nonfinite import nonfinite_in
from loss_loggers.alerts import (
    MEAN_OF,
    SPIKE,
    has_stopped,
    nonfinite_alert,
    spike_alert,
    stopped_alert,
    usual_intervals,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy import bool_
    from numpy.typing import NDArray

    from loss_dashboard._typing import Values
    from loss_dashboard.reading import RunReader
    from loss_loggers.alerts import Alert

    Series = dict[str, Values]


def nonfinite(reader: RunReader) -> Iterator[Alert]:
    """Losses that were NaN or infinite."""
    for name in reader.losses:
        series = reader.series(name)
        lost = nonfinite_in(series)
        if lost.any():
            yield nonfinite_alert(name, int(series["step"][lost][0]), int(lost.sum()))


def spikes(reader: RunReader) -> Iterator[Alert]:
    """Losses far over their running mean; of one that may be negative, the sizes are compared."""
    for name in reader.losses:
        series = reader.series(name)
        losses = series["loss"]
        high, means = spikes_in(losses)
        if high.any():
            yield spike_alert(
                name,
                int(series["step"][high][0]),
                int(high.sum()),
                value=float(losses[high][0]),
                mean=float(means[high][0]),
                is_signed=bool((losses < 0).any()),
            )


def spikes_in(values: Values) -> tuple[NDArray[bool_], Values]:
    """Which values are spikes, and the mean size of those before each."""
    import numpy as np

    sizes = np.abs(values)
    means = _means_before(sizes)
    with np.errstate(all="ignore"):
        return (sizes > SPIKE * means) & (means > 0) & np.isfinite(sizes), means


def stopped(reader: RunReader) -> Iterator[Alert]:
    """Losses that came regularly and no longer do, by the steps and by the clock."""
    scopes = defaultdict(list)
    for name in reader.losses:
        scopes[name.rpartition("/")[0]].append(name)
    for names in scopes.values():
        ends = {name: _at(reader.series(name), -1) for name in names}
        last_step, last_time = map(max, zip(*ends.values(), strict=True))
        for name, (step, time) in ends.items():
            gap = last_step - step, last_time - time
            series = reader.series(name)
            if has_stopped(gap, usual_intervals(len(series["step"]), _at(series, 0), ends[name])):
                yield stopped_alert(name, int(step))


def _means_before(losses: Values) -> Values:
    """The mean of all finite values before each; NaN while there are few."""
    import numpy as np

    finite = np.isfinite(losses)
    counts = np.cumsum(finite) - finite
    with np.errstate(over="ignore"):
        sums = np.cumsum(np.where(finite, losses, 0.0))
    before = np.concatenate([[0.0], sums[:-1]])
    enough = counts >= MEAN_OF
    means: Values = np.divide(before, counts, out=np.full(len(losses), np.nan), where=enough)
    return means


def _at(series: Series, line: int) -> tuple[float, float]:
    return float(series["step"][line]), float(series["time"][line])
