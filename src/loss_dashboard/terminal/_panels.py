"""What there is to say about a run, in words and numbers."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from loss_dashboard._contribution import shares
from loss_dashboard._info import method_in, settings_in
from loss_dashboard._tables import STATE_STYLES, figures

from ._view import color_of, readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loss_dashboard.alerts import Alert
    from loss_dashboard.reader import RunReader

EIGHTHS = " ▏▎▍▌▋▊▉█"
BAR, NAME = 8, 16
NARROW_BAR, SHORTEST_NAME = 4, 4
NARROW = 48
"""In fewer characters a table has short bars."""

FIRST = 2
"""So many numbers are always there: the weight and the last value."""

MANY = 8
"""Of more losses than these each weight is small, so the bars compare them with the largest."""

DASH = "\u2013"
"""Stands for a number that there is none of."""

COLUMNS = ("last", "mean", "CoV", "std", "share")
"""The numbers, in the order in which they get room."""


def headline(reader: RunReader) -> Text:
    """The run in one line, with why it crashed if it did."""
    return Text("  ").join(filter(None, [facts(reader), failure(reader)]))


def facts(reader: RunReader) -> Text:
    """The run in one line."""
    pace = reader.steps_per_second
    parts = [
        (reader.path.name, "bold"),
        (f"read {reader.progress:.0%}" if reader.progress < 1 else "", "yellow"),
        (method_in(settings_in(reader.info)), ""),
        (reader.state, STATE_STYLES.get(reader.state, "dim")),
        (progress(reader), ""),
        (f"{pace:.3g} steps/s" if pace == pace else "", "dim"),
        (_clock(reader.elapsed), "dim"),
    ]
    return Text("  ").join(Text(text, style) for text, style in parts if text)


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
    parts = shares({name: reader.series(name) for name in rows})
    for name, row in rows.items():
        row["share"] = parts[name]
    cells = {
        column: [_told(column, row[column]) for row in rows.values()]
        for column in ("weight", *COLUMNS)
    }
    size = NARROW_BAR if width < NARROW else BAR
    shown, name_width = _layout(cells, width - len(str(len(rows))) - size - 2, list(rows))
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("", style="dim", no_wrap=True, min_width=len(str(len(rows))))
    table.add_column("loss", no_wrap=True, width=name_width, overflow="ellipsis")
    table.add_column("", no_wrap=True, width=size)
    for column in shown:
        table.add_column(column, justify="right", no_wrap=True)
    names = list(rows)
    for index in range(len(rows)) if lines is None else lines:
        name = names[index]
        style = "dim" if name in hidden else readable(color_of(reader, name))
        table.add_row(
            Text(str(index + 1), "reverse" if index == marked else ""),
            Text(name, f"strike {style}" if name in hidden else f"bold {style}"),
            Text(bar(weights[name], size), style),
            *(cells[column][index] for column in shown),
        )
    return table


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
        needed = 1 + max(map(len, [column, *numbers]))
        if len(shown) >= FIRST and needed > room:
            break
        room -= needed
        shown.append(column)
    return shown, max(SHORTEST_NAME, longest + min(0, room))


def shares_of(parts: dict[str, float]) -> dict[str, float]:
    """The size of each part, of the sum of those that are finite.

    >>> shares_of({"G": 1.0, "D": -3.0, "E": float("nan")})
    {'G': 0.25, 'D': 0.75, 'E': nan}
    """
    whole = sum(abs(part) for part in parts.values() if isfinite(part))
    return {name: abs(part) / (whole or 1.0) for name, part in parts.items()}


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


def progress(reader: RunReader) -> str:
    """The last step of any loss."""
    steps = [reader.series(name)["step"][-1] for name in reader.names]
    return f"step {max(steps):.0f}" if steps else "no rows yet"


def bar(share: float, size: int = BAR) -> str:
    """A share of 1 as a bar of so many characters.

    >>> bar(0.5), bar(0.3)
    ('████    ', '██▍     ')
    """
    if not 0 <= share <= 1:
        return " " * size
    full, eighths = divmod(round(share * size * 8), 8)
    return ("█" * full + EIGHTHS[eighths].strip()).ljust(size)


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> _clock(3725.2)
    '1:02:05'
    """
    from datetime import timedelta

    return "" if seconds != seconds else str(timedelta(seconds=int(seconds)))
