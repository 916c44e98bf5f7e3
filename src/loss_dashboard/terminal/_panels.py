"""What there is to say about a run, in words and numbers."""

from __future__ import annotations

from math import isfinite, nan
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from loss_dashboard.alerts import in_words
from loss_dashboard.curves.numbers import DASH, figures
from loss_dashboard.curves.shares import by_size, objective, shares, shares_of
from loss_dashboard.reading import headline
from loss_dashboard.runs.colours import readable
from loss_dashboard.runs.run_json import settings_in

from .tables import STATE_STYLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loss_dashboard.alerts import Alert
    from loss_dashboard.reading import RunReader

EIGHTHS = " ▏▎▍▌▋▊▉█"
BAR, NAME = 8, 16
NARROW_BAR, SHORTEST_NAME = 4, 4
NARROW = 48
"""In fewer characters a table has short bars."""

FIRST = ("weight", "last")
"""Numbers that are there wherever both have room, for none is ever cut; else the last value is."""

MANY = 8
"""Of more losses than these each weight is small, so the bars compare them with the largest."""

FACT_STYLES = {"name": "bold", "reading": "yellow", "pace": "dim", "elapsed": "dim"}

COLUMNS = ("last", "mean", "CoV", "std", "share")
"""The numbers, in the order in which they get room."""


def facts(reader: RunReader) -> Text:
    """The run in one line."""
    styles = FACT_STYLES | {"state": STATE_STYLES.get(reader.state, "dim")}
    told = headline.facts(reader).items()
    return Text("  ").join(Text(text, styles.get(key, "")) for key, text in told if text)


def failure(reader: RunReader) -> Text:
    """Why the run crashed, if it did."""
    return Text(reader.error or "", "red")


def loss_table(
    reader: RunReader,
    width: int,
    hidden: set[str],
    lines: range | None = None,
    marked: int | None = None,
) -> Table:
    """A line per loss: a bar for its weight, then as many numbers as there is room for.

    Args:
        reader: The run.
        width: Characters in a row.
        hidden: The losses that are struck out.
        lines: Which losses are in it, by default all.
        marked: The loss whose number stands out, if any.
    """
    rows = {name: last_row(reader, name) for name in reader.losses}
    weights = shares_of({name: row["weight"] for name, row in rows.items()})
    if len(rows) > MANY:
        heaviest = max(filter(isfinite, weights.values()), default=1.0) or 1.0
        weights = {name: weight / heaviest for name, weight in weights.items()}
    optimised = objective(settings_in(reader.info), rows)
    parts = shares({name: reader.series(name) for name in optimised})
    for name, row in rows.items():
        row["share"] = parts.get(name, nan)
    cells = {
        column: [_told(column, row[column]) for row in rows.values()]
        for column in ("weight", *COLUMNS)
    }
    size = NARROW_BAR if width < NARROW else BAR
    names = list(rows)
    room = width - len(str(len(names))) - size - 2
    if room < SHORTEST_NAME + 1 + sum(_needed(column, cells[column]) for column in FIRST):
        room, size = room + size, 0
        cells = {"last": cells["last"]}
    shown, name_width = _layout(cells, room, [*names, *reader.totals])
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("", style="dim", no_wrap=True, min_width=len(str(len(rows))))
    table.add_column("loss", no_wrap=True, width=name_width, overflow="ellipsis")
    table.add_column("", no_wrap=True, width=size)
    for column in shown:
        table.add_column(column, justify="right", no_wrap=True)
    for index in range(len(rows)) if lines is None else lines:
        name = names[index]
        style = "dim" if name in hidden else readable(reader.colour_of(name))
        table.add_row(
            Text(str(index + 1), "reverse" if index == marked else ""),
            Text(name, f"strike {style}" if name in hidden else f"bold {style}"),
            Text(bar(weights[name], size), style),
            *(cells[column][index] for column in shown),
        )
    for name in reader.totals:
        last = figures(last_row(reader, name)["last"])
        numbers = (last if column == "last" else DASH for column in shown)
        table.add_row("", Text(name, "bold"), "", *numbers)
    return table


def share_note(reader: RunReader, width: int) -> Text:
    """How shares are told where a loss is negative; nothing where none is, or no share is shown."""
    if not any(column.header == "share" for column in loss_table(reader, width, set()).columns):
        return Text()
    losses = {name: reader.series(name) for name in reader.losses}
    note = by_size({name: losses[name] for name in objective(settings_in(reader.info), losses)})
    return Text(f"shares go {note}" if note else "", "dim", no_wrap=True, overflow="ellipsis")


def _told(column: str, number: float) -> str:
    r"""A number in a cell; what there is none of is a dash, and a loss that is NaN says so.

    >>> _told("share", 0.5), _told("share", float("nan")), _told("last", float("nan"))
    ('50.0%', '\u2013', 'nan')
    """
    if column != "last" and number != number:
        return DASH
    return f"{number:.1%}" if column == "share" else figures(number)


def _layout(cells: dict[str, list[str]], width: int, names: Sequence[str]) -> tuple[list[str], int]:
    """The columns that there is room for, beside the longest name; names are cut for the first."""
    longest = min(NAME, max(map(len, [*names, "loss"])))
    room = width - longest - 1
    shown: list[str] = []
    for column, numbers in cells.items():
        needed = _needed(column, numbers)
        if column not in FIRST and needed > room:
            break
        room -= needed
        shown.append(column)
    return shown, max(SHORTEST_NAME, longest + min(0, room))


def _needed(column: str, numbers: Sequence[str]) -> int:
    """How many characters a column takes."""
    return 1 + max(map(len, [column, *numbers]))


def extras_line(reader: RunReader, width: int) -> Text:
    """The last value of each of the user's own numbers, as many as there is room for."""
    line = Text(" · ", "dim").join(
        Text.assemble(f"{name} ", _last(own["value"][-1])) for name, own in reader.extras.items()
    )
    line.truncate(width, overflow="ellipsis")
    line.no_wrap = True
    return line


def _last(value: float) -> Text:
    return Text(f"{value:.4g}", "bold" if isfinite(value) else "red")


def explanation(explained: Sequence[Alert]) -> Text:
    """What deserves a look, in sentences."""
    return Text(in_words(explained), "yellow" if explained else "dim")


def alert_lines(alerts: Sequence[Alert], count: int | None = None) -> Text:
    """A line per alert; the last ones, if there is no room for all."""
    shown = alerts if count is None else alerts[-count:]
    lines = [Text(f"! {alert.text}", "red", overflow="ellipsis", no_wrap=True) for alert in shown]
    return Text("\n").join(lines)


def last_row(reader: RunReader, name: str) -> dict[str, float]:
    """The last numbers of a loss."""
    series = reader.series(name)
    columns = {"last": "loss", "weight": "weight", "mean": "mean", "std": "std", "CoV": "cov"}
    return {key: float(series[column][-1]) for key, column in columns.items()}


def bar(share: float, size: int = BAR) -> str:
    """A share of 1 as a bar of so many characters.

    >>> bar(0.5), bar(0.3)
    ('████    ', '██▍     ')
    """
    if not 0 <= share <= 1:
        return " " * size
    full, eighths = divmod(round(share * size * 8), 8)
    return ("█" * full + EIGHTHS[eighths].strip()).ljust(size)
