"""Tables for the terminal."""

from __future__ import annotations

import time
from math import isfinite
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from loss_dashboard.curves.groups import HEADINGS, final_rows
from loss_dashboard.curves.numbers import DASH, figures

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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


def some(words: Sequence[str]) -> str:
    """All of a few words, or the first of many and how many more there are.

    >>> some(["G", "D"]), some([f"task_{number}" for number in range(64)])
    ('G D', 'task_0 … and 63 more')
    """
    if len(words) <= MANY:
        return " ".join(words)
    return f"{words[0]} … and {len(words) - 1} more"


def loss_table(group: LossGroup) -> Table:
    """One line per loss: where it stands, how much it varied and what it weighs."""
    losses = table("loss", "last", "mean", "std", "CoV", "weight")
    for name, weight in group.weights.items():
        loss = group[name]
        numbers = (loss.value, loss.mean, loss.std, loss.cov, weight)
        losses.add_row(Text(name), *map(figures, numbers))
    return losses


def run_table(runs: Iterable[Summary]) -> Table:
    """One line per run."""
    lines = table("run", "state", "started", "losses", "last step", "alerts")
    for column in lines.columns:
        column.justify = "right" if column.header == "last step" else "left"
        # On a narrow terminal these go on below, so that the names of the runs stay whole.
        column.no_wrap = column.header not in ("losses", "alerts")
    for run in runs:
        lines.add_row(
            Text(run.name),
            Text(run.state, style=STATE_STYLES.get(run.state, "")),
            _moment(run.start),
            Text(some(run.losses)),
            "" if run.last_step is None else str(run.last_step),
            Text(", ".join(run.marks), style="red"),
        )
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


def _moment(seconds: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else ""
    except (OverflowError, ValueError, OSError):  # a time of no calendar here
        return ""
