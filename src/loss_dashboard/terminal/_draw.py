"""The charts of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loss_dashboard.curves.scales import robust_top

from ._chart import GUTTER, chart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from loss_dashboard._typing import Values
    from loss_dashboard.reading import RunReader

    from ._view import Line, View

CHARTS = {"loss": "losses", "weight": "weights", "cov": "CoV"}
"""The statistic of each chart, and what it is called."""


def draw(reader: RunReader, view: View, column: str, width: int, height: int) -> Text:
    """The chart of a statistic, in so many characters."""
    is_loss = column == "loss"
    lines = view.lines(reader, column, max(2 * (width - GUTTER), 1))
    if column == "cov":
        lines = _cut(lines)
    empty = "all losses are hidden" if reader.losses and not lines else "no values yet"
    return chart(lines, width, height, log=is_loss and view.log, marks=is_loss, empty=empty)


def _cut(lines: Sequence[Line]) -> list[Line]:
    """Lines that go no higher than nearly all of each of them."""
    import numpy as np

    top = robust_top([line.points.mean for line in lines])

    def below(values: Values) -> Values:
        return np.minimum(values, top)

    return [
        line._replace(
            points=line.points._replace(
                mean=below(line.points.mean),
                low=below(line.points.low),
                high=below(line.points.high),
            )
        )
        for line in lines
    ]
