"""`losses ls`: the runs in a folder."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from loss_dashboard.cli._common import fail, json_option, say, say_json
from loss_dashboard.runs.find_run import RUNS

if TYPE_CHECKING:
    from loss_dashboard.runs.summary import Summary

RECENT = 5


@click.command()
@click.argument("directory", metavar="[DIR]", type=click.Path(path_type=Path), default=RUNS)
@click.option(
    "--sort",
    metavar="COLUMN",
    show_default="the newest first",
    help="name, state, weighting, step, steps_per_second, start, tags, a loss, a number of yours"
    " or a setting; with - before it the largest first.",
)
@click.option(
    "--search",
    metavar="TEXT",
    default="",
    show_default=False,
    help="Only runs with these words in name, settings (lr=0.1), note, tags (+good) or alerts.",
)
@click.option("--best", is_flag=True, help="The best value of each loss instead of the last.")
@json_option
def ls(directory: Path, sort: str | None, search: str, best: bool, as_json: bool) -> None:
    """List the runs, the newest first, with the last values and the alerts of each.

    DIR is where the runs are, runs/ by default, in folders of folders too.

    Of a run over 4 MB only the last rows are read, unless --best is asked for: of a loss that was
    ever NaN, or that jumps now. A run that has ended is read once, and known the next time.
    """
    if directory != RUNS and not directory.is_dir():
        what = "is no folder" if directory.exists() else "does not exist"
        fail(f"{directory} {what}; the folder that runs are in is needed")
    from loss_dashboard.runs.table import as_row

    try:
        runs = listed(directory, sort=sort, search=search, best=best)
    except ValueError as error:
        fail(str(error))
    if as_json:
        say_json({"runs": [as_row(run) for run in runs]})
        return
    if not runs and search:
        fail(f"no run in {directory} has {search!r} in name, settings, note, tags or alerts")
    _print(runs, directory, best=best)


def listed(
    directory: Path = RUNS, *, sort: str | None = None, search: str = "", best: bool = False
) -> "list[Summary]":
    """The runs that `ls` lists, in its order."""
    from loss_dashboard.alerts import list_runs
    from loss_dashboard.runs.table import found, in_order

    runs = found(list_runs(directory, read_all=best), search)
    return in_order(runs, sort, by_best=best) if sort else runs


def print_runs(directory: Path = RUNS, count: int | None = None) -> None:
    """Print the newest runs of a folder, or how to get one."""
    from loss_dashboard.alerts import list_runs

    _print(list_runs(directory, count=count), directory)


def _print(runs: "list[Summary]", directory: Path, *, best: bool = False) -> None:
    from loss_dashboard.terminal.tables import run_lines, run_table, stdout

    console = stdout()
    if not runs:
        say(f"No runs in {directory}: CsvLogger records yours, and `losses demo` one of its own.")
    elif console.file.isatty():
        console.print(run_table(runs, best=best, width=console.width))
    else:
        click.echo("\n".join(run_lines(runs, best=best)))
