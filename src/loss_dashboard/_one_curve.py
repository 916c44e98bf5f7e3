"""The curve of one loss, with all that the charts show of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._numbers import numbers
from ._smooth import smooth

if TYPE_CHECKING:
    from ._grid import Cells, Grid
    from ._lines import Values
    from ._numbers import Number
    from .choice import Choice


def draw_curve(grid: Grid, own: dict[str, Values], choice: Choice) -> dict[str, Any]:
    """The statistics of one loss in each bucket of a grid."""
    loss, weight = own["loss"], own["weight"]
    rows = {
        "loss": loss,
        "weight": weight,
        "part": loss * weight,
        "cov": own["cov"],
        "recent": _recent_cov(loss, choice.window),
        **(_smoothed(own, choice.smoothing) if choice.smoothing > 1 else {}),
    }
    cells = _reduced(grid, own, rows)
    return {
        **_means(list(rows), cells),
        **dict(zip(("low", "high"), _told(cells, cells.low[0], cells.high[0]), strict=True)),
        "lost": [[index, int(n)] for index, n in enumerate(cells.nonfinite[0].tolist()) if n > 0],
    }


def draw_smoothed(grid: Grid, own: dict[str, Values], window: int) -> dict[str, Any]:
    """What changes with smoothing: the mean of so many of the last losses, and contributions."""
    rows = _smoothed(own, window)
    return _means(list(rows), _reduced(grid, own, rows))


def _smoothed(own: dict[str, Values], window: int) -> dict[str, Values]:
    loss, weight = own["loss"], own["weight"]
    return {"smooth": smooth(loss, window), "part": smooth(loss * weight, window)}


def _reduced(grid: Grid, own: dict[str, Values], rows: dict[str, Values]) -> Cells:
    import numpy as np

    return grid.reduce(own, np.stack(list(rows.values())))


def _means(names: list[str], cells: Cells) -> dict[str, list[Number | bool]]:
    return dict(zip(names, _told(cells, *cells.mean), strict=True))


def _told(cells: Cells, *rows: Values) -> list[list[Number | bool]]:
    """Null where all values were lost, false where there was none to lose."""
    import numpy as np

    told = numbers(np.stack(rows))
    told[:, ~cells.seen] = False
    each: list[list[Number | bool]] = told.tolist()
    return each


def _recent_cov(loss: Values, window: int) -> Values:
    """The coefficient of variation of the last values at each step."""
    import numpy as np

    finite = loss[np.isfinite(loss)]
    centre = np.median(finite) if len(finite) else 0.0
    shifted = loss - centre  # so that squares do not swallow what differs
    mean = smooth(shifted, window)
    variance = np.maximum(smooth(shifted**2, window) - mean**2, 0.0)
    cov: Values = np.sqrt(variance) / np.abs(mean + centre)
    return cov
