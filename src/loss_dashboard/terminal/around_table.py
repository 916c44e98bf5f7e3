"""The rows around a step as tables that the terminal has room for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from loss_dashboard.curves.numbers import DASH, figures

from .tables import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table

    from loss_dashboard.alerts.around import Around, Cell

HERE = "> "
GAP = 2  # characters between columns
MOST = 24  # letters of a name

LEGEND = "x its weight; ! over 10 times the mean of all values before it; * a number of your own"


def around_tables(around: Around, width: int) -> Iterator[Table]:
    """As many tables, one below the other, as it takes for all losses and own numbers.

    Each has a line for each step; a number that is lost or a spike stands out, and so does the step
    that was asked for.
    """
    rows = around.rows.values()
    columns = {
        name: [_heading(name, is_own=is_own), *(_told(row.get(name)) for row in rows)]
        for is_own, names in ((False, around.losses), (True, around.numbers))
        for name in names
    }
    widths = {name: GAP + max(cell.cell_len for cell in column) for name, column in columns.items()}
    steps = [f"{HERE if step == around.step else ''}{step}" for step in around.rows]
    for some in _fitting(widths, width - GAP - max(map(len, steps))):
        yield _table(steps, [columns[name] for name in some])


def _table(steps: Sequence[str], columns: Sequence[Sequence[Text]]) -> Table:
    lines = table("step")
    lines.columns[0].justify = "right"
    for heading, *_ in columns:
        lines.add_column(heading, justify="right", no_wrap=True)
    for step, *cells in zip(steps, *(column[1:] for column in columns), strict=True):
        lines.add_row(Text(step, "reverse" if step.startswith(HERE) else ""), *cells)
    return lines


def _heading(name: str, *, is_own: bool) -> Text:
    short = name if len(name) <= MOST else f"{name[: MOST - 1]}…"
    return Text(f"{short}*" if is_own else short)


def _told(cell: Cell | None) -> Text:
    """A loss and its weight, or a number; a dash where the row has none."""
    if cell is None:
        return Text(DASH, "dim")
    mark = "!" if cell.mark == "spike" else ""
    weight = f" x{cell.weight:.3g}" if cell.weight == cell.weight else ""
    style = "bold red" if cell.mark else ""
    return Text.assemble((f"{figures(cell.value)}{mark}", style), (weight, "dim"))


def _fitting(widths: dict[str, int], room: int) -> Iterator[list[str]]:
    """The names in groups that fit, each of one at least.

    >>> list(_fitting({"G": 8, "D": 8, "E": 8}, room=18))
    [['G', 'D'], ['E']]
    """
    group: list[str] = []
    for name, width in widths.items():
        if group and sum(widths[other] for other in group) + width > room:
            yield group
            group = []
        group.append(name)
    if group:
        yield group
