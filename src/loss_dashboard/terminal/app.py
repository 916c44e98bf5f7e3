"""`losses watch` on a whole terminal."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.widget import Widget
from textual.widgets import Footer, Static

from loss_dashboard.alerts import find_alerts
from loss_dashboard.reader import RunReader
from loss_dashboard.runs import find_runs

from ._draw import CHARTS, draw
from ._panels import alert_lines, headline, loss_table
from ._view import View

if TYPE_CHECKING:
    from pathlib import Path

    from rich.text import Text

    from loss_dashboard.alerts import Alert

POLL = 0.5  # seconds
READING = 0.4
"""Seconds of reading after which a long run is shown as far as it was read, and keys are heard."""
PATIENCE = 20  # alerts are looked for again after so many times as long as it took
ALERTS = 3
MAX_ZOOM = 12
BREAKPOINTS = [(0, "-narrow"), (60, "-wide")]


class Chart(Widget):
    """One chart, drawn to the size that it has."""

    def __init__(self, column: str) -> None:
        super().__init__(id=column, classes="panel")
        self.column = column
        self.border_title = CHARTS[column]

    def render(self) -> Text:
        """Draw it."""
        app = self.app
        assert isinstance(app, WatchApp)
        return draw(app.reader, app.view, self.column, self.size.width, self.size.height)


class WatchApp(App[None]):
    """Charts, a table and alerts of a run, while it is written."""

    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = BREAKPOINTS
    CSS = """
    Screen { background: ansi_default; }
    #headline { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    #grid { layout: grid; grid-size: 2 2; height: 1fr; }
    .panel { border: round $surface-lighten-2; border-title-color: $text-muted; height: 100%; }
    #alerts { height: auto; max-height: 3; }
    .-narrow #grid { grid-size: 1 3; }
    .-narrow #cov { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("l", "log", "log"),
        Binding("plus,equals_sign,up", "zoom(1)", "zoom in", key_display="+"),
        Binding("minus,down", "zoom(-1)", "zoom out", key_display="-"),
        Binding("n", "next_run", "next run"),
        Binding("1", "toggle_loss(1)", "toggle a loss", key_display="1-9"),
        *(Binding(str(number), f"toggle_loss({number})", show=False) for number in range(2, 10)),
        Binding("a", "show_all", "all"),
    ]

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.reader = _reader(folder)
        self.view = View()
        self.alerts: list[Alert] = []
        self._look_at = 0.0

    def compose(self) -> ComposeResult:
        """The panels."""
        yield Static(id="headline")
        with Container(id="grid"):
            yield Chart("loss")
            yield Chart("weight")
            yield Static(id="table", classes="panel")
            yield Chart("cov")
        yield Static(id="alerts")
        yield Footer()

    def on_mount(self) -> None:
        """Begin to watch."""
        self._look()
        self.show()
        self.set_interval(POLL, self._poll)

    def on_resize(self) -> None:
        """Draw to the new size, once it is known everywhere."""
        self.call_after_refresh(self.show)

    def show(self) -> None:
        """Bring everything on the screen up to date."""
        table = self.query_one("#table", Static)
        table.update(loss_table(self.reader, table.size.width, self.view.hidden))
        self.query_one("#headline", Static).update(headline(self.reader))
        self.query_one("#alerts", Static).update(alert_lines(self.alerts, ALERTS))
        for chart in self.query(Chart):
            scale = f" (last 1/{2**self.view.zoom})" if self.view.zoom else ""
            chart.border_title = CHARTS[chart.column] + scale
            chart.refresh()

    def action_log(self) -> None:
        """Switch the scale of the losses."""
        self.view.log = not self.view.log
        self.show()

    def action_zoom(self, by: int) -> None:
        """Show half of what is shown, from the end of the run, or twice as much."""
        self.view.zoom = min(max(self.view.zoom + by, 0), MAX_ZOOM)
        self.show()

    def action_toggle_loss(self, number: int) -> None:
        """Hide a loss, or show it again."""
        for name in self.reader.losses[number - 1 : number]:
            self.view.toggle(name)
        self.show()

    def action_show_all(self) -> None:
        """Show all losses, and all of the run."""
        self.view = View(log=self.view.log)
        self.show()

    def action_next_run(self) -> None:
        """Go to the next older run of the folder, and from the oldest to the newest."""
        folders = [run.path for run in find_runs(self.reader.path.parent)]
        if folders:
            here = folders.index(self.reader.path) if self.reader.path in folders else -1
            following = folders[(here + 1) % len(folders)]
            self.reader = _reader(following)
            self.view = View(log=self.view.log)
            self._look()
            self.show()

    def _poll(self) -> None:
        if self.reader.poll():
            if perf_counter() >= self._look_at:
                self._look()
            self.show()
        else:
            self.query_one("#headline", Static).update(headline(self.reader))

    def _look(self) -> None:
        """Look for alerts, which takes a while in a long run."""
        start = perf_counter()
        self.alerts = find_alerts(self.reader)
        self._look_at = perf_counter() + PATIENCE * (perf_counter() - start)


def _reader(folder: Path) -> RunReader:
    return RunReader(folder, columns=(), patience=READING)
