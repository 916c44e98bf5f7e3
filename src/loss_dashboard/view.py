"""What the page shows of a run, as plain numbers and text."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from ._curves import smooth
from ._grid import Grid
from .decimate import decimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._lines import Values
    from .alerts import Alert
    from .reader import RunReader

RECENT = 50
"""Contributions are told from the mean of so many of the last steps."""

SPARKS = 48
POINTS = 8000
"""All curves of a chart share them: many losses get fewer each, so that the page stays quick."""

Number = float | None


class Choice(NamedTuple):
    """What is asked for.

    Attributes:
        first: the first step, by default of all.
        last: the last step, likewise.
        smoothing: losses are averaged over so many steps.
        points: at most so many for each curve.
        window: CoV is also told of so many of the last values.
    """

    first: float | None = None
    last: float | None = None
    smoothing: int = 0
    points: int = 600
    window: int = 100


def view(reader: RunReader, choice: Choice, alerts: Sequence[Alert] = ()) -> dict[str, Any]:
    """Everything about a run that fits on a screen."""
    import numpy as np

    losses = {name: reader.series(name) for name in reader.losses}
    with np.errstate(all="ignore"):  # a loss may be as large as floats go
        return {
            **_head(reader, losses),
            "alerts": [alert._asdict() for alert in alerts],
            "losses": _table(reader, losses),
            "curves": _curves(losses, choice),
        }


def _head(reader: RunReader, losses: dict[str, dict[str, Values]]) -> dict[str, Any]:
    hyperparameters = reader.info.get("hyperparameters") or {}
    steps = [float(own["step"][-1]) for own in losses.values()]
    return {
        "name": reader.path.name,
        "path": str(reader.path),
        "state": reader.state,
        "error": reader.info.get("error"),
        "settings": {key: value for key, value in hyperparameters.items() if key != "losses"},
        "start": reader.info.get("start"),
        "step": max(steps, default=None),
        "steps_per_second": _plain(reader.steps_per_second),
        "elapsed": _plain(reader.elapsed),
        "progress": _plain(reader.progress),
        "problems": reader.problems,
    }


def _table(reader: RunReader, losses: dict[str, dict[str, Values]]) -> list[dict[str, Any]]:
    """A line for each loss; its share is of what all of them contribute to the total."""
    parts = {name: _contribution(own) for name, own in losses.items()}
    total = sum(parts.values())
    return [
        {
            "name": name,
            "colour": reader.colours.get(name, "#777777"),
            "share": _plain(parts[name] / total if total else float("nan")),
            **_line(own),
        }
        for name, own in losses.items()
    ]


def _line(own: dict[str, Values]) -> dict[str, Any]:
    import numpy as np

    lost = ~np.isfinite(own["loss"])
    return {
        **{column: _plain(own[column][-1]) for column in ("weight", "mean", "std", "cov")},
        "last": _last(own["loss"]),
        "lost": int(lost.sum()),
        "first_lost": float(own["step"][lost.argmax()]) if lost.any() else None,
        "spark": _list(decimate(own["step"], own["loss"], SPARKS).mean),
    }


def _contribution(own: dict[str, Values]) -> float:
    import numpy as np

    recent = np.abs(own["loss"][-RECENT:] * own["weight"][-RECENT:])
    recent = recent[np.isfinite(recent)]
    return float(recent.mean()) if len(recent) else 0.0


def _curves(losses: dict[str, dict[str, Values]], choice: Choice) -> dict[str, Any]:
    """The curves of all losses over the same steps."""
    points = min(choice.points, max(60, POINTS // max(1, len(losses))))
    grid = Grid(list(losses.values()), choice.first, choice.last, points)
    return {
        "step": [float(step) for step in grid.steps.tolist()],
        "time": [round(moment, 3) for moment in grid.times.tolist()],
        "whole": grid.is_whole,
        "range": grid.range,
        "each": {name: _curve(grid, own, choice) for name, own in losses.items()},
    }


def _curve(grid: Grid, own: dict[str, Values], choice: Choice) -> dict[str, Any]:
    loss, weight = own["loss"], own["weight"]
    buckets = grid.reduce(own, loss)
    curve = {
        "loss": _cells(buckets.mean, buckets.seen),
        "low": _cells(buckets.low, buckets.seen),
        "high": _cells(buckets.high, buckets.seen),
        "lost": [[index, int(n)] for index, n in enumerate(buckets.nonfinite.tolist()) if n > 0],
        "weight": _column(grid, own, weight),
        "part": _column(grid, own, smooth(loss * weight, max(1, choice.smoothing))),
        "cov": _column(grid, own, own["cov"]),
        "recent": _column(grid, own, _recent_cov(loss, choice.window)),
    }
    if choice.smoothing > 1:
        curve["smooth"] = _column(grid, own, smooth(loss, choice.smoothing))
    return curve


def _column(grid: Grid, own: dict[str, Values], values: Values) -> list[Number | bool]:
    buckets = grid.reduce(own, values)
    return _cells(buckets.mean, buckets.seen)


def _recent_cov(loss: Values, window: int) -> Values:
    """The coefficient of variation of the last values at each step."""
    import numpy as np

    centre = np.nanmedian(loss[np.isfinite(loss)]) if np.isfinite(loss).any() else 0.0
    shifted = loss - centre  # so that squares do not swallow what differs
    mean = smooth(shifted, window)
    variance = np.maximum(smooth(shifted**2, window) - mean**2, 0.0)
    cov: Values = np.sqrt(variance) / np.abs(mean + centre)
    return cov


def _cells(values: Values, seen: Values) -> list[Number | bool]:
    """Null where all values were lost, false where there was none to lose."""
    cells: list[Number | bool] = list(_list(values))
    for index in (~seen.astype(bool)).nonzero()[0].tolist():
        cells[index] = False
    return cells


def _list(values: Values) -> list[Number]:
    import numpy as np

    finite = np.isfinite(values)
    sizes = np.abs(np.where(finite & (values != 0), values, 1.0))
    scales = 10.0 ** np.clip(5 - np.floor(np.log10(sizes)), -300, 300)
    numbers: list[Number] = (np.round(values * scales) / scales).tolist()
    for index in (~finite).nonzero()[0].tolist():
        numbers[index] = None
    return numbers


def _plain(value: float) -> Number:
    """Six digits are more than a screen has; JSON has no NaN.

    >>> _plain(1 / 3), _plain(float("nan"))
    (0.333333, None)
    """
    return float(f"{value:.6g}") if isfinite(value) else None


def _last(loss: Values) -> Number | str:
    """The last loss, in words if it was lost."""
    return _plain(loss[-1]) if isfinite(loss[-1]) else str(float(loss[-1]))
