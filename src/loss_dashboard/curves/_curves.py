"""The curves of losses and of the user's own numbers, with all that the charts show of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loss_dashboard.reading.nonfinite import ABSENT

from ._grid import distinct
from .numbers import numbers
from .smooth import smooth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from loss_dashboard._typing import Columns, Values

    from ._grid import Cells, Grid
    from .numbers import Number
    from .view_options import ViewOptions

    Curve = dict[str, Any]

TOGETHER = 1 << 16
"""So many lines are drawn at once, which saves time; of more, one loss at a time saves memory."""


REACH = {"loss": "", "value": "", "weight": "weight_"}
"""Of which rows it is told how far they reach, and how `low` and `high` of them begin."""


def draw_curves(
    grid: Grid, losses: Mapping[str, Columns], options: ViewOptions
) -> dict[str, Curve]:
    """The statistics of each loss in each bucket of a grid."""
    drawn: dict[str, Curve] = {}
    for names in _batches(grid, losses):
        owns = [losses[name] for name in names]
        drawn.update(zip(names, _draw(grid, owns, options), strict=True))
    return drawn


def draw_extras(
    grid: Grid, extras: Mapping[str, Columns], options: ViewOptions
) -> dict[str, Curve]:
    """Each of the user's own numbers in each bucket of a grid."""
    drawn: dict[str, Curve] = {}
    for names in _batches(grid, extras):
        owns = [extras[name] for name in names]
        value = _stacked(owns, "value")
        smoothed = {"smooth": smooth(value, options.smoothing)} if options.smoothing > 1 else {}
        rows = {"value": value, **smoothed}
        cells = _reduced(grid, owns[0], rows)
        drawn.update(zip(names, _curves(cells, list(rows), cells.nonfinite[:, 0]), strict=True))
    return drawn


def draw_smoothed(grid: Grid, own: Columns, window: int) -> Curve:
    """What changes with smoothing: the mean of so many of the last losses, and contributions."""
    rows = _smoothed(_stacked([own], "loss"), _stacked([own], "weight"), window)
    cells = _reduced(grid, own, rows)
    return dict(zip(rows, _told(cells, cells.mean)[0], strict=True))


def _batches(grid: Grid, losses: Mapping[str, Columns]) -> Iterator[list[str]]:
    """Losses of the same steps, as many as are drawn at once."""
    if len(losses) * grid.lines <= TOGETHER and len(distinct(losses.values())) == 1:
        yield list(losses)
    else:
        yield from ([name] for name in losses)


def _draw(grid: Grid, owns: Sequence[Columns], options: ViewOptions) -> Iterator[Curve]:
    """The curves of losses that have the same steps."""
    loss, weight = _stacked(owns, "loss"), _stacked(owns, "weight")
    rows = {
        "loss": loss,
        "weight": weight,
        "part": loss * weight,
        "cov": _stacked(owns, "cov"),
        "recent": _recent_cov(loss, options.window),
        **(_smoothed(loss, weight, options.smoothing) if options.smoothing > 1 else {}),
    }
    cells = _reduced(grid, owns[0], rows)
    return _curves(cells, list(rows), cells.nonfinite[:, 0] - [_absent(grid, own) for own in owns])


def _curves(cells: Cells, rows: Sequence[str], each: Values) -> Iterator[Curve]:
    """The rows of each curve, how far some of them reach, and where the first was lost."""
    import numpy as np

    reaching = [row for row in rows if row in REACH]
    places = [rows.index(row) for row in reaching]
    shown = [cells.mean, cells.low[:, places], cells.high[:, places]]
    told = _told(cells, np.concatenate(shown, axis=1))
    names = [*rows, *(f"{REACH[row]}{end}" for end in ("low", "high") for row in reaching)]
    for lines, lost in zip(told, each.tolist(), strict=True):
        yield {
            **dict(zip(names, lines, strict=True)),
            "lost": [[index, int(times)] for index, times in enumerate(lost) if times > 0],
        }


def _absent(grid: Grid, own: Columns) -> Values:
    """How many lines of each bucket have no loss because their file has no column for it."""
    import numpy as np

    if ABSENT not in own:
        return np.zeros(len(grid.steps))
    return grid.reduce(own["step"], np.where(own[ABSENT] == 1, np.nan, 0.0)).nonfinite


def _stacked(owns: Sequence[Columns], column: str) -> Values:
    import numpy as np

    return (
        owns[0][column][np.newaxis] if len(owns) == 1 else np.stack([own[column] for own in owns])
    )


def _smoothed(loss: Values, weight: Values, window: int) -> dict[str, Values]:
    return {"smooth": smooth(loss, window), "part": smooth(loss * weight, window)}


def _reduced(grid: Grid, own: Columns, rows: dict[str, Values]) -> Cells:
    import numpy as np

    return grid.reduce(own["step"], np.stack(list(rows.values()), axis=1))


def _told(cells: Cells, values: Values) -> list[list[list[Number | bool]]]:
    """Null where all values were lost, false where there was none to lose."""
    told = numbers(values)
    told[..., ~cells.seen] = False
    each: list[list[list[Number | bool]]] = told.tolist()
    return each


def _recent_cov(loss: Values, window: int) -> Values:
    """The coefficient of variation of the last values at each step."""
    import numpy as np

    centre = _typical(loss)
    shifted = loss - centre  # so that squares do not swallow what differs
    mean = smooth(shifted, window)
    variance = np.maximum(smooth(shifted**2, window) - mean**2, 0.0)
    cov: Values = np.sqrt(variance) / np.abs(mean + centre)
    return cov


def _typical(values: Values) -> Values:
    """The median of some of the finite values of each row; 0 where there is none."""
    import numpy as np

    some = values[:, :: 1 + values.shape[-1] // 1000]
    finite = np.isfinite(some)
    ordered = np.sort(np.where(finite, some, np.inf), axis=-1)
    middle = np.maximum(finite.sum(axis=-1, keepdims=True) - 1, 0) // 2
    typical = np.take_along_axis(ordered, middle, axis=-1)
    return np.where(np.isfinite(typical), typical, 0.0)
