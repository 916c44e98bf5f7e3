"""A chart in braille, with its scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from loss_dashboard.curves.scales import linear_below

from ._canvas import Canvas

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loss_dashboard._typing import Values

    from ._view import Line

GUTTER = 8  # characters for the numbers of the scale
HUGE = 1e307


def chart(
    lines: Sequence[Line],
    width: int,
    height: int,
    *,
    log: bool,
    marks: bool,
    empty: str = "no values yet",
) -> Text:
    """Lines over steps, in so many characters.

    Args:
        lines: What to draw; later ones lie above.
        width: Characters in a row.
        height: Rows, of which the last one says the steps.
        log: Whether the scale is logarithmic, if all values are positive.
        marks: Whether a cross in the top row marks where values are not finite.
        empty: What to say if there is nothing to draw.
    """
    import numpy as np

    # How far they reach as well, so that a spike is on the scale.
    reach = [one for line in lines for one in (line.points.mean, line.points.low, line.points.high)]
    values = np.concatenate(reach or [np.empty(0)])
    values = values[np.isfinite(values)]
    if width < GUTTER + 4 or height < 3:
        return Text("…")
    if not len(values):
        return Text(empty, "dim")
    scale = _Scale(values, log=log)
    steps = np.concatenate([line.points.x for line in lines])
    canvas = Canvas(width - GUTTER, height - 1)
    for line in lines:
        _draw(canvas, line, scale, steps.min(), steps.max(), marks)
    return _framed(canvas, scale, f"{steps.min():.0f}", f"{steps.max():.0f}")


class _Scale:
    """From values to heights, 0 at the bottom and 1 at the top.

    A logarithmic one is so both ways from zero if some values are not positive.
    """

    def __init__(self, values: Values, *, log: bool) -> None:
        self.low, self.high = float(values.min()), float(values.max())
        self._log = log
        self._floor = linear_below(values)

    def __call__(self, values: Values) -> Values:
        import numpy as np

        size = 4.0 if max(-self.low, self.high) > HUGE else 1.0  # so that a difference is a number
        all_ = (self.low, self.high, values)
        low, high, places = (self._scaled(np.asarray(one)) / size for one in all_)
        return (places - low) / (high - low) if high > low else np.full(len(values), 0.5)

    def _scaled(self, values: Values) -> Values:
        import numpy as np

        if not self._log:
            return values
        if self.low > 0:
            return np.log(values)
        scaled: Values = np.sign(values) * np.log1p(np.abs(values) / self._floor)
        return scaled


def _draw(
    canvas: Canvas, line: Line, scale: _Scale, first: float, last: float, marks: bool
) -> None:
    import numpy as np

    points, width = line.points, 2 * canvas.width - 1
    columns = np.rint((points.x - first) / max(last - first, 1) * width).astype(int)
    finite = np.isfinite(points.mean)
    heights = np.rint(scale(points.mean[finite]) * (4 * canvas.height - 1)).astype(int)
    places = list(zip(columns[finite].tolist(), heights.tolist(), strict=True))
    if line.is_dotted:
        canvas.dots(places, line.color)
    else:
        canvas.line(places, line.color)
    for extreme in (points.low, points.high):
        ends = np.rint(scale(extreme[finite]) * (4 * canvas.height - 1)).astype(int)
        is_far = np.abs(ends - heights) > canvas.height  # a quarter of the chart
        for column, height, end in zip(
            columns[finite][is_far].tolist(),
            heights[is_far].tolist(),
            ends[is_far].tolist(),
            strict=True,
        ):
            canvas.line([(column, height), (column, end)], line.color)
    if marks:
        for column in columns[points.nonfinite > 0].tolist():
            canvas.mark(column, "x", line.color)


def _framed(canvas: Canvas, scale: _Scale, first: str, last: str) -> Text:
    """The canvas with its numbers: the highest and lowest value, the first and last step."""
    numbers = [""] * canvas.height
    numbers[0], numbers[-1] = f"{scale.high:.3g}", f"{scale.low:.3g}"
    rows = [
        Text.assemble((f"{number:>{GUTTER - 1}} ", "dim"), row)
        for number, row in zip(numbers, canvas.rows(), strict=True)
    ]
    axis = " " * GUTTER + first + last.rjust(canvas.width - len(first))
    return Text("\n").join([*rows, Text(axis, "dim")])
