"""The list of runs, from which `losses watch` takes another one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input

from loss_dashboard.runs.cache import known_runs
from loss_dashboard.runs.find_run import directory_of
from loss_dashboard.runs.table import found

from .tables import run_cells

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from loss_dashboard.runs.summary import Summary


class RunList(ModalScreen[Path | None]):
    """The runs beside one, the newest first; Enter takes one, and the search keeps those found."""

    CSS = """
    RunList { background: ansi_default; }
    RunList Input { border: round $surface-lighten-2; height: 3; }
    RunList DataTable { height: 1fr; background: ansi_default; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,r,q", "dismiss(None)", "back", key_display="Esc"),
        Binding("slash", "search", "search"),
        Binding("enter", "take", "watch"),
        Binding("j", "move(1)", show=False),
        Binding("k", "move(-1)", show=False),
    ]

    def __init__(self, here: Path) -> None:
        super().__init__()
        self._here = here
        self._runs: list[Summary] = []

    def compose(self) -> ComposeResult:
        """A line to search in, and the table."""
        yield Input(placeholder="search: name, setting, note or tag", select_on_focus=False)
        yield DataTable(cursor_type="row")
        yield Footer()

    def on_mount(self) -> None:
        """List them, with the run that is watched marked."""
        self._runs = known_runs(directory_of(self._here))
        self._fill(self._runs)
        table = self.query_one(DataTable)
        table.focus()
        paths = [run.path.resolve() for run in self._runs]
        if self._here.resolve() in paths:
            table.move_cursor(row=paths.index(self._here.resolve()))

    def action_search(self) -> None:
        """Go to the line to search in."""
        self.query_one(Input).focus()

    def action_take(self) -> None:
        """Take the marked run."""
        self.query_one(DataTable).action_select_cursor()

    def action_move(self, by: int) -> None:
        """Mark a run further down, or up."""
        table = self.query_one(DataTable)
        table.move_cursor(row=table.cursor_row + by)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Keep the runs that have these words."""
        self._fill(found(self._runs, event.value))

    def on_input_submitted(self) -> None:
        """Back to the table, with what was found."""
        self.query_one(DataTable).focus()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Take this run."""
        self.dismiss(Path(str(event.row_key.value)))

    def _fill(self, runs: list[Summary]) -> None:
        table: DataTable[Text] = self.query_one(DataTable)
        table.clear(columns=True)
        columns = run_cells(runs, width=self.app.size.width)
        table.add_columns("run", *columns)
        for run, *cells in zip(runs, *columns.values(), strict=True):
            table.add_row(Text(run.name, "bold"), *cells, key=str(run.path))
