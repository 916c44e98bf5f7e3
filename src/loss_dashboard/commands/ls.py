"""`losses ls`: the runs in a folder."""

from pathlib import Path
from typing import Annotated

import typer

from loss_dashboard.find_run import RUNS

from ._common import fail

RECENT = 5


def ls(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where the runs are.", show_default=True)
    ] = RUNS,
) -> None:
    """List the runs, the newest first, with the alerts of each.

    Of a run over 4 MB only the last rows are read: of a loss that was ever NaN, or that jumps now.
    """
    if directory != RUNS and not directory.is_dir():
        what = "is no folder" if directory.exists() else "does not exist"
        fail(f"{directory} {what}; the folder that runs are in is needed")
    print_runs(directory)


def print_runs(directory: Path = RUNS, count: int | None = None) -> None:
    """Print the newest runs of a folder, or how to get one."""
    from loss_dashboard._tables import run_table, stdout
    from loss_dashboard.alerts import with_alerts
    from loss_dashboard.runs import find_runs

    runs = find_runs(directory)
    if runs:
        stdout().print(run_table(map(with_alerts, runs[:count])))
    else:
        typer.echo(
            f"No runs in {directory}: CsvLogger records yours, and `losses demo` one of its own."
        )
