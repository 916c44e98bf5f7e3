"""`losses doctor`: what is installed, and whether a run is sound."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from loss_dashboard.cli._common import run_argument, run_at, say

if TYPE_CHECKING:
    from loss_dashboard.runs.summary import Summary


@click.command()
@run_argument("run", required=False)
def doctor(run: str | None) -> None:
    """Say what is installed, and whether a run is sound; if it is not, the exit code is 1.

    RUN is a path, a name in runs/ or `latest`.
    """
    folder = None if run is None else run_at(run)
    _print_installed()
    if folder is not None and not _print_run(folder):
        click.get_current_context().exit(1)


def _print_installed() -> None:
    import platform
    from importlib.metadata import version

    from loss_dashboard._installed import DISTRIBUTION, how_to_install, packages
    from loss_dashboard.terminal.tables import stdout, table

    lines = table("package", "version", "comes with")
    for column in lines.columns:
        column.justify = "left"
    lines.add_row(DISTRIBUTION, version(DISTRIBUTION))
    lines.add_row("python", platform.python_version())
    for name, extra, found in packages():
        lines.add_row(name, found or "missing", how_to_install(extra) if extra else "")
    stdout().print(lines, markup=False)


def _print_run(folder: Path) -> bool:
    """Say what is wrong with a run; whether nothing is."""
    from loss_dashboard._hints import short
    from loss_dashboard.runs.check import check_run
    from loss_dashboard.runs.summary import summarize

    problems = check_run(folder)
    run = summarize(folder)
    click.echo()
    say(f"{short(folder)} is {'not ' * bool(problems)}sound")
    say(f"  {_told(run)}")
    for problem in problems:
        say(f"  {problem}")
    return not problems


def _told(run: "Summary") -> str:
    """A run in a line, as far as anything is known of it."""
    from loss_dashboard.terminal.tables import some

    if run.state == "unreadable":
        return run.state
    losses = f"losses {some(run.losses)}" if run.losses else "no losses"
    step = "no rows yet" if run.last_step is None else f"last step {run.last_step}"
    return f"{run.state}, {losses}, {step}"
