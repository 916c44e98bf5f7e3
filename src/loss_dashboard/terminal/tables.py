"""Tables for the terminal."""

from __future__ import annotations

import time
from math import isfinite
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loss_dashboard.curves.groups import HEADINGS, final_rows
from loss_dashboard.curves.numbers import DASH, figures
from loss_loggers.alerts import is_total

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from loss_dashboard.curves.groups import Group, GroupedLoss
    from loss_dashboard.runs.summary import Summary
    from multi_loss_weighting import LossGroup

STATE_STYLES = {"running": "green", "crashed": "red", "stopped": "yellow", "unreadable": "red"}
UNLIMITED = 100_000
MANY = 8
"""More names than these are not told one by one."""


def stdout() -> Console:
    """The terminal; a pipe gets lines as long as they are, for the next program to read."""
    console = Console(highlight=False)
    # Asked of the file itself: a notebook sets FORCE_COLOR, which makes every pipe a terminal.
    if not console.file.isatty():
        console.width = UNLIMITED
    return console


def table(label: str, *headings: str) -> Table:
    """An empty table of numbers, each row with a label."""
    empty = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    empty.add_column(label, style="bold", no_wrap=True)
    for heading in headings:
        empty.add_column(heading, justify="right", no_wrap=True)
    return empty


def some(words: Sequence[str], between: str = " ") -> str:
    """All of a few words, or the first of many and how many more there are.

    >>> some(["G", "D"]), some([f"task_{number}" for number in range(64)])
    ('G D', 'task_0 … and 63 more')
    """
    if len(words) <= MANY:
        return between.join(words)
    return f"{words[0]} … and {len(words) - 1} more"


def loss_table(group: LossGroup) -> Table:
    """One line per loss: where it stands, how much it varied and what it weighs."""
    losses = table("loss", "last", "mean", "std", "CoV", "weight")
    for name, weight in group.weights.items():
        loss = group[name]
        numbers = (loss.value, loss.mean, loss.std, loss.cov, weight)
        losses.add_row(Text(name), *map(figures, numbers))
    return losses


WRAPPED = ("last", "best", "tags", "alerts")
"""Columns that go on below on a narrow terminal, so that the names of the runs stay whole."""


NUMBERS = ("step", "steps/s")
NEEDED = {"started": 150, "steps/s": 130, "weighting": 110, "step": 70, "note": 70}
"""On a terminal with fewer characters these columns are left out."""

ROOM = 170
"""On a terminal with fewer characters the total stands for its losses."""


def run_table(runs: Sequence[Summary], *, best: bool = False, width: int = UNLIMITED) -> Table:
    """One line per run."""
    columns = run_cells(runs, best=best, width=width)
    shown = {name: cells for name, cells in columns.items() if width >= NEEDED.get(name, 0)}
    lines = table("run", *shown)
    for column in lines.columns:
        column.justify = "right" if column.header in NUMBERS else "left"
        column.no_wrap = column.header not in WRAPPED
    for run, *cells in zip(runs, *shown.values(), strict=True):
        lines.add_row(Text(run.name), *cells)
    return lines


def final_table(groups: Sequence[Group], losses: Sequence[GroupedLoss]) -> Table:
    """How each loss ended in each group of runs, from the smallest mean on."""
    lines = table(*HEADINGS)
    lines.columns[1].justify = "left"
    for row in final_rows(losses, groups):
        final = row.final
        lost = f" ({final.lost} not finite)" if final.lost else ""
        lines.add_row(
            Text(row.loss),
            Text(groups[row.group].name),
            *(figures(number) if isfinite(number) else DASH for number in (row.mean, row.half)),
            f"{row.n}{lost}",
            *(figures(number) if row.n else DASH for number in (final.least, final.greatest)),
            DASH.join(f"{step:.0f}" for step in dict.fromkeys(final.steps)),
        )
    return lines


def run_lines(runs: Sequence[Summary], *, best: bool = False) -> Iterator[str]:
    """The same as plain lines, which of hundreds of runs takes a tenth of the time."""
    columns = {"run": [Text(run.name) for run in runs], **run_cells(runs, best=best)}
    cells = [[name, *(cell.plain for cell in column)] for name, column in columns.items()]
    widths = [max(map(cell_len, column)) for column in cells]
    for line in zip(*cells, strict=True):
        padded = (
            " " * (width - cell_len(cell)) + cell
            if name in NUMBERS
            else cell + " " * (width - cell_len(cell))
            for name, cell, width in zip(columns, line, widths, strict=True)
        )
        yield "  ".join(padded).rstrip()


def run_cells(
    runs: Sequence[Summary], *, best: bool = False, width: int = UNLIMITED
) -> dict[str, list[Text]]:
    """What each column says of each run; those in which no run has anything are left out."""
    brief, notes = width < ROOM, [Text(run.note) for run in runs]
    for note in notes:
        note.truncate(width // 5, overflow="ellipsis")
    columns = {
        "state": [Text(run.state, STATE_STYLES.get(run.state, "")) for run in runs],
        "started": [Text(_moment(run.start)) for run in runs],
        "weighting": [Text(run.weighting.removesuffix("Weighting")) for run in runs],
        "step": [Text("" if run.last_step is None else str(run.last_step)) for run in runs],
        "steps/s": [Text(_pace(run)) for run in runs],
        "best" if best else "last": [_values(run, best=best, brief=brief) for run in runs],
        "tags": [Text(" ".join(run.tags), "cyan") for run in runs],
        "alerts": [Text(", ".join(run.marks), "red") for run in runs],
        "note": notes,
    }
    return {name: cells for name, cells in columns.items() if any(cells)}


def _values(run: Summary, *, best: bool, brief: bool) -> Text:
    """The losses with their values, and the total; what none is known of is named alone."""
    values = run.best if best else run.last
    totals = [name for name in values if is_total(name)]
    words = [_word(name, values) for name in run.losses if not (brief and totals)]
    told = [some(words, "  ")] if words else []
    return Text("  ".join([*told, *(_word(name, values) for name in totals)]))


def _word(name: str, values: Mapping[str, float]) -> str:
    return f"{name} {figures(values[name])}" if name in values else name


def _pace(run: Summary) -> str:
    pace = run.steps_per_second
    return "" if pace is None else figures(pace)


def _moment(seconds: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else ""
    except (OverflowError, ValueError, OSError):  # a time of no calendar here
        return ""
