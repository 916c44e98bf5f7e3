"""`losses ls`: the runs in a folder."""

from pathlib import Path
from typing import Any

import click

from loss_dashboard.cli._common import fail, json_option, say, say_json
from loss_dashboard.runs.find_run import RUNS

RECENT = 5


@click.command()
@click.argument("directory", metavar="[DIR]", type=click.Path(path_type=Path), default=RUNS)
@json_option
def ls(directory: Path, as_json: bool) -> None:
    """List the runs, the newest first, with the alerts of each.

    DIR is where the runs are, runs/ by default.

    Of a run over 4 MB only the last rows are read: of a loss that was ever NaN, or that jumps now.
    """
    if directory != RUNS and not directory.is_dir():
        what = "is no folder" if directory.exists() else "does not exist"
        fail(f"{directory} {what}; the folder that runs are in is needed")
    if as_json:
        say_json({"runs": _rows(directory)})
    else:
        print_runs(directory)


def _rows(directory: Path) -> list[dict[str, Any]]:
    from loss_dashboard.alerts import with_alerts
    from loss_dashboard.runs.summary import as_row, find_runs

    return [as_row(with_alerts(run)) for run in find_runs(directory)]


def print_runs(directory: Path = RUNS, count: int | None = None) -> None:
    """Print the newest runs of a folder, or how to get one."""
    from loss_dashboard.alerts import with_alerts
    from loss_dashboard.runs.summary import find_runs
    from loss_dashboard.terminal.tables import run_table, stdout

    runs = find_runs(directory)
    if runs:
        stdout().print(run_table(map(with_alerts, runs[:count])))
    else:
        say(f"No runs in {directory}: CsvLogger records yours, and `losses demo` one of its own.")
