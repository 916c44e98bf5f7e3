"""The charts of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._chart import GUTTER, chart

if TYPE_CHECKING:
    from rich.text import Text

    from loss_dashboard.reading import RunReader

    from ._view import View

CHARTS = {"loss": "losses", "weight": "weights", "cov": "CoV"}
"""The statistic of each chart, and what it is called."""


def draw(reader: RunReader, view: View, column: str, width: int, height: int) -> Text:
    """The chart of a statistic, in so many characters."""
    is_loss = column == "loss"
    lines = view.lines(reader, column, max(2 * (width - GUTTER), 1))
    empty = "all losses are hidden" if reader.losses and not lines else "no values yet"
    return chart(lines, width, height, log=is_loss and view.log, marks=is_loss, empty=empty)
