"""`losses watch` on a whole terminal."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.widget import Widget
from textual.widgets import Footer, Static

from loss_dashboard.alerts import explain, find_alerts
from loss_dashboard.reading import RunReader
from loss_dashboard.runs.find_run import directory_of
from loss_dashboard.runs.summary import find_runs

from ._draw import CHARTS, draw
from ._loss_table import LossTable
from ._panels import alert_lines, explanation, facts, failure
from ._run_list import RunList
from ._view import View

if TYPE_CHECKING:
    from pathlib import Path

    from loss_dashboard.alerts import Alert

POLL = 0.5  # seconds
READING = 0.4
"""Seconds of reading after which a long run is shown as far as it was read, and keys are heard."""
PATIENCE = 20  # alerts are looked for again after so many times as long as it took
ALERTS = 3
MAX_ZOOM = 12
WIDTHS = [(0, "-narrow"), (60, "-wide")]
HEIGHTS = [(0, "-tiny"), (12, "-short"), (20, "-tall")]


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
    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS
    CSS = """
    Screen { background: ansi_default; }
    #headline { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    #grid { layout: grid; grid-size: 2 2; height: 1fr; }
    .panel { border: round $surface-lighten-2; border-title-color: $text-muted; height: 100%; }
    .empty { display: none; }
    #failure { height: auto; max-height: 3; }
    #explained { height: auto; max-height: 2; }
    #alerts { height: auto; max-height: 3; }
    .-narrow #grid { grid-size: 1 3; }
    .-narrow #cov { display: none; }
    .-short #alerts { max-height: 1; }
    .-short #explained, .-tiny #explained { display: none; }
    .-narrow.-short #grid { grid-size: 1 2; }
    .-narrow.-short #weight { display: none; }
    .-tiny #alerts { display: none; }
    .-tiny #failure { max-height: 1; }
    .-tiny #grid { grid-size: 1 1; }
    .-tiny Chart { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("l", "log", "log"),
        Binding("ctrl+c", "quit", show=False, priority=True),
        Binding("plus,equals_sign", "zoom(1)", "zoom", key_display="+/-"),
        Binding("minus", "zoom(-1)", show=False),
        Binding("n", "next_run", "next run"),
        Binding("r", "choose_run", "runs"),
        Binding("down,j", "move(1)", "loss", key_display="\u2191\u2193"),
        Binding("up,k", "move(-1)", show=False),
        Binding("pagedown", "move_page(1)", show=False),
        Binding("pageup", "move_page(-1)", show=False),
        Binding("space", "toggle_marked", "hide"),
        Binding("enter", "isolate_marked", "only"),
        *(Binding(str(number), f"toggle_loss({number})", show=False) for number in range(1, 10)),
        Binding("a", "show_all", "all"),
    ]

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.reader = _reader(folder)
        self.view = View()
        self.alerts: list[Alert] = []
        self.explained: list[Alert] = []
        self._look_at = 0.0

    def compose(self) -> ComposeResult:
        """The panels."""
        yield Static(id="headline")
        yield Static(id="failure")
        yield Static(id="explained")
        with Container(id="grid"):
            yield Chart("loss")
            yield Chart("weight")
            yield LossTable(self.reader, self.view.hidden)
            yield Chart("cov")
        yield Static(id="alerts")
        yield Footer()

    def on_mount(self) -> None:
        """Begin to watch."""
        self._look()
        self.show()
        self.set_interval(POLL, self._poll)

    def show(self) -> None:
        """Bring everything on the screen up to date."""
        self._say("#headline", facts(self.reader))
        self._say("#failure", failure(self.reader))
        explained = explanation(self.explained) if self.reader.losses else Text()
        self._say("#explained", explained)
        self._say("#alerts", alert_lines(self.alerts, ALERTS))
        self.query_one(LossTable).show(self.reader, self.view.hidden)
        for chart in self.query(Chart):
            scale = f" (last 1/{2**self.view.zoom})" if self.view.zoom else ""
            chart.border_title = CHARTS[chart.column] + scale
            chart.refresh()

    def _say(self, where: str, text: Text) -> None:
        """Put a text into its place, which takes no room without one."""
        place = self.query_one(where, Static)
        place.update(text)
        place.set_class(not text, "empty")

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

    def action_toggle_marked(self) -> None:
        """Hide the marked loss, or show it again."""
        if name := self.query_one(LossTable).marked:
            self.view.toggle(name)
        self.show()

    def action_isolate_marked(self) -> None:
        """Show the marked loss alone, or all again."""
        if name := self.query_one(LossTable).marked:
            self.view.isolate(name, self.reader.losses)
        self.show()

    def on_loss_table_clicked(self) -> None:
        """A click shows a loss alone, as it does on the page."""
        self.action_isolate_marked()

    def action_move(self, by: int) -> None:
        """Mark a loss further down, or up."""
        self.query_one(LossTable).move(by)

    def action_move_page(self, by: int) -> None:
        """The same, by as many as are in sight."""
        table = self.query_one(LossTable)
        table.move(by * table.page)

    def action_show_all(self) -> None:
        """Show all losses, and all of the run."""
        self.view = View(log=self.view.log)
        self.show()

    def action_next_run(self) -> None:
        """Go to the next older run of the folder, and from the oldest to the newest."""
        path = self.reader.path.resolve()
        folders = [run.path for run in find_runs(directory_of(path))]
        if folders:
            here = folders.index(path) if path in folders else -1
            self._turn_to(folders[(here + 1) % len(folders)])

    def action_choose_run(self) -> None:
        """Show the list of runs, and go to the one that is chosen."""
        self.push_screen(RunList(self.reader.path), self._turn_to)

    def _turn_to(self, folder: Path | None) -> None:
        """Watch another run, if one was chosen."""
        if folder is None:
            return
        self.reader = _reader(folder)
        self.view = View(log=self.view.log)
        self._look()
        self.show()

    def _poll(self) -> None:
        if not self.query(LossTable):
            return  # the list of runs is in front, or it ends and has taken its panels away
        if self.reader.poll():
            if perf_counter() >= self._look_at:
                self._look()
            self.show()
        else:
            self._say("#headline", facts(self.reader))

    def _look(self) -> None:
        """Look for alerts, which takes a while in a long run."""
        start = perf_counter()
        self.alerts = find_alerts(self.reader)
        self.explained = explain(self.reader, self.alerts)
        self._look_at = perf_counter() + PATIENCE * (perf_counter() - start)


def _reader(folder: Path) -> RunReader:
    return RunReader(folder, columns=(), patience=READING)
