"""A run in plain lines, for pipes and the logs of CI."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from loss_dashboard.alerts import explain, find_alerts
from loss_dashboard.reading.headline import progress

from ._draw import CHARTS, draw
from ._panels import (
    alert_lines,
    explanation,
    extras_line,
    facts,
    failure,
    last_row,
    loss_table,
    share_note,
)
from ._view import View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from loss_dashboard.alerts import Alert
    from loss_dashboard.reading import RunReader

HEIGHT = 10
ENDED = ("finished", "crashed", "stopped")


def print_once(reader: RunReader, console: Console, *, charts: bool) -> None:
    """Print what there is now."""
    width = min(console.width, 100)
    pictures = _charts(reader, width) if charts else []
    alerts = find_alerts(reader)
    console.print(facts(reader), soft_wrap=True)
    _print_failure(reader, console)
    _print_explanation(reader, console, alerts)
    console.print(Group(*pictures, "", loss_table(reader, width, set())))
    for line in (share_note(reader, width), extras_line(reader, width)):
        if line:
            console.print(line)
    if alerts:
        console.print(alert_lines(alerts), soft_wrap=True)


def follow(reader: RunReader, console: Console, seconds: float = 2.0) -> None:
    """Print a line for each step that is new after so many seconds, until the run ends.

    What deserves a look is said at the beginning, if there is anything, and at the end.
    """
    alerts = find_alerts(reader)
    told: set[str] = set()
    before = explained = ""
    while True:
        step = progress(reader)
        if step != before:
            console.print(f"{step}  {_losses(reader)}".rstrip(), markup=False, soft_wrap=True)
        if not before and explain(reader, alerts):
            explained = _print_explanation(reader, console, alerts)
        before = step
        for alert in alerts:
            if (key := f"{alert.kind} {alert.loss}") not in told:
                told.add(key)
                console.print(alert_lines([alert]), soft_wrap=True)
        if reader.state in ENDED:
            break
        time.sleep(seconds)
        reader.poll()
        alerts = find_alerts(reader)
    console.print(facts(reader), soft_wrap=True)
    _print_failure(reader, console)
    _print_explanation(reader, console, alerts, explained)


def _print_explanation(
    reader: RunReader, console: Console, alerts: Sequence[Alert], before: str = ""
) -> str:
    """Say what deserves a look, unless that was said before."""
    line = explanation(explain(reader, alerts))
    if reader.losses and line.plain != before:
        console.print(line, soft_wrap=True)
    return line.plain


def _print_failure(reader: RunReader, console: Console) -> None:
    if reader.error:
        console.print(failure(reader), soft_wrap=True)


def _losses(reader: RunReader) -> str:
    """Each loss and its weight."""
    rows = {name: last_row(reader, name) for name in reader.losses}
    return "  ".join(f"{name} {row['last']:.4g} x{row['weight']:.3g}" for name, row in rows.items())


def _charts(reader: RunReader, width: int) -> list[Text]:
    charts = []
    for column, title in CHARTS.items():
        picture = draw(reader, View(), column, width, HEIGHT)
        charts += [Text(f"\n{title}", "bold"), picture]
    return charts
