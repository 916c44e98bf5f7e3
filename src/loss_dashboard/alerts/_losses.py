"""Alerts about the values of a loss."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from loss_dashboard.reading.nonfinite import lost_in

from ._alert import Alert

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loss_dashboard._typing import Values
    from loss_dashboard.reading import RunReader

    Series = dict[str, Values]

SPIKE = 10.0
WARMUP = 20  # values that a running mean needs before it can be exceeded
MISSED = 10  # intervals without a row after which a loss has stopped


def nonfinite(reader: RunReader) -> Iterator[Alert]:
    """Losses that were NaN or infinite."""
    for name in reader.losses:
        series = reader.series(name)
        lost = lost_in(series)
        if lost.any():
            step = int(series["step"][lost][0])
            count = int(lost.sum())
            yield Alert(
                "nonfinite", name, step, f"{name} was NaN or infinite {_times(count, step)}"
            )


def spikes(reader: RunReader) -> Iterator[Alert]:
    """Losses far over their running mean; of one that may be negative, the sizes are compared."""
    import numpy as np

    for name in reader.losses:
        series = reader.series(name)
        losses, sizes = series["loss"], np.abs(series["loss"])
        means = _means_before(sizes)
        high = (sizes > SPIKE * means) & (means > 0) & np.isfinite(sizes)
        if high.any():
            step = int(series["step"][high][0])
            many = _times(int(high.sum()), step)
            size = f"{losses[high][0]:.3g} against {means[high][0]:.3g}"
            mean = "the running mean of its size" if (losses < 0).any() else "its running mean"
            text = f"{name} was over {SPIKE:g} times {mean} {many} ({size})"
            yield Alert("spike", name, step, text)


def stopped(reader: RunReader) -> Iterator[Alert]:
    """Losses that came regularly and no longer do, by the steps and by the clock."""
    scopes = defaultdict(list)
    for name in reader.losses:
        scopes[name.rpartition("/")[0]].append(name)
    for names in scopes.values():
        ends = {name: _end(reader.series(name)) for name in names}
        last_step, last_time = map(max, zip(*ends.values(), strict=True))
        for name, (step, time) in ends.items():
            intervals = _intervals(reader.series(name))
            gap = last_step - step, last_time - time
            if all(own > MISSED * usual for own, usual in zip(gap, intervals, strict=True)):
                text = f"{name} is no longer logged since step {step:g}"
                yield Alert("stopped", name, int(step), text)


def _means_before(losses: Values) -> Values:
    """The mean of all finite values before each; NaN while there are few."""
    import numpy as np

    finite = np.isfinite(losses)
    counts = np.cumsum(finite) - finite
    values = np.where(finite, losses, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.cumsum(values) - values
    enough = counts >= WARMUP
    means: Values = np.divide(sums, counts, out=np.full(len(losses), np.nan), where=enough)
    return means


def _end(series: Series) -> tuple[float, float]:
    return float(series["step"][-1]), float(series["time"][-1])


def _intervals(series: Series) -> tuple[float, float]:
    """The usual steps and seconds between two lines; infinite for less than three."""
    import numpy as np

    if len(series["step"]) < 3:
        return float("inf"), float("inf")
    steps, times = np.diff(series["step"]), np.diff(series["time"])
    middle = len(steps) // 2  # np.median would import numpy.ma, for 10 ms of each start
    return max(float(np.partition(steps, middle)[middle]), 1.0), float(np.mean(times))


def _times(count: int, step: int) -> str:
    return f"at step {step}" if count == 1 else f"{count} times, first at step {step}"
