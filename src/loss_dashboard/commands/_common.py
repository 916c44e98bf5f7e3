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


def why(error: Exception, output: Path | None = None) -> str:
    """What an error says about a file to write, as one would say it.

    >>> why(OSError(2, "No such file or directory"), Path("nowhere/losses.png"))
    'there is no folder nowhere'
    """
    if output is not None and not output.parent.is_dir():
        return f"there is no folder {output.parent}"
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


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
