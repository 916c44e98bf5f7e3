"""What there is to say about a run, in words and numbers."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from loss_dashboard._tables import STATE_STYLES, figures

from ._view import color_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loss_dashboard.alerts import Alert
    from loss_dashboard.reader import RunReader

EIGHTHS = " ▏▎▍▌▋▊▉█"
BAR = 8
NAME = 16
COLUMNS = {"last": 0, "mean": 36, "CoV": 44, "std": 52, "contributes": 64}
"""From so many characters on there is room for each column of numbers."""


def headline(reader: RunReader) -> Text:
    """The run in one line."""
    info = reader.info
    method = info.get("hyperparameters", {}).get("weighting", {}).get("method")
    error = info.get("error") if reader.state == "crashed" else None
    parts = [
        (reader.path.name, "bold"),
        (f"read {reader.progress:.0%}" if reader.progress < 1 else "", "yellow"),
        (method or "", ""),
        (reader.state, STATE_STYLES.get(reader.state, "dim")),
        (f"step {last_step(reader)}", ""),
        (f"{reader.steps_per_second:.3g} steps/s", "dim"),
        (_clock(reader.elapsed), "dim"),
        (str(error or ""), "red"),
    ]
    return Text("  ").join(Text(text, style) for text, style in parts if text)


def loss_table(reader: RunReader, width: int, hidden: set[str]) -> Table:
    """A line per loss: a bar for its weight, then as many numbers as there is room for."""
    shown = [column for column, needed in COLUMNS.items() if width >= needed]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("", style="dim")
    table.add_column("loss", no_wrap=True, max_width=NAME, overflow="ellipsis")
    table.add_column("weight", no_wrap=True, min_width=BAR)
    for column in ("", *shown):
        table.add_column(column, justify="right", no_wrap=True)
    rows = {name: last_row(reader, name) for name in reader.losses}
    weights = shares_of({name: row["weight"] for name, row in rows.items()})
    contributions = shares_of({name: row["weight"] * row["last"] for name, row in rows.items()})
    for number, (name, row) in enumerate(rows.items(), 1):
        row["contributes"] = contributions[name]
        style = "dim" if name in hidden else color_of(reader, name)
        table.add_row(
            str(number),
            Text(name, f"strike {style}" if name in hidden else f"bold {style}"),
            Text(bar(weights[name]), style),
            *(figures(row[column]) for column in ("weight", *shown)),
        )
    return table


def shares_of(parts: dict[str, float]) -> dict[str, float]:
    """The size of each part, of the sum of those that are finite.

    >>> shares_of({"G": 1.0, "D": -3.0, "E": float("nan")})
    {'G': 0.25, 'D': 0.75, 'E': nan}
    """
    whole = sum(abs(part) for part in parts.values() if isfinite(part))
    return {name: abs(part) / (whole or 1.0) for name, part in parts.items()}


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


def last_step(reader: RunReader) -> str:
    """The last step of any loss."""
    steps = [reader.series(name)["step"][-1] for name in reader.names]
    return f"{max(steps):.0f}" if steps else "none yet"


def bar(share: float) -> str:
    """A share of 1 as a bar.

    >>> bar(0.5), bar(0.3)
    ('████    ', '██▍     ')
    """
    if not 0 <= share <= 1:
        return " " * BAR
    full, eighths = divmod(round(share * BAR * 8), 8)
    return ("█" * full + EIGHTHS[eighths].strip()).ljust(BAR)


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> _clock(3725.2)
    '1:02:05'
    """
    from datetime import timedelta

    return "" if seconds != seconds else str(timedelta(seconds=int(seconds)))
