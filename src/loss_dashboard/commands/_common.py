"""What several commands use: the argument RUN, and the way to fail."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from loss_dashboard.find_run import LATEST, RUNS, RunNotFoundError, find_run, run_names

INTERRUPTED = 130  # what shells expect of a program that Ctrl-C ended


def fail(message: str) -> NoReturn:
    """Say what went wrong, in one line and without a traceback, and exit with 1."""
    typer.echo(message, err=True)
    raise typer.Exit(1)


def run_at(name: str) -> Path:
    """The folder of the run that the user means."""
    try:
        return find_run(name)
    except RunNotFoundError as error:
        fail(str(error))


def _complete_run(typed: str) -> list[str]:
    return [name for name in run_names() if name.startswith(typed)]


_RUN = typer.Argument(
    metavar="RUN",
    help=f"A path, a name in {RUNS}/ or `{LATEST}`.",
    autocompletion=_complete_run,
)
RunArgument = Annotated[str, _RUN]
OptionalRunArgument = Annotated[str | None, _RUN]
RunsArgument = Annotated[list[str], _RUN]
