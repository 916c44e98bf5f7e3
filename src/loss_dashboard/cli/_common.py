"""What several commands use: the argument RUN, and the way to fail."""

import json
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from loss_dashboard.runs.find_run import RUNS, RunNotFoundError, find_run, run_names
from loss_dashboard.runs.summary import run_folders
from loss_loggers.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from click.shell_completion import CompletionItem


def say(message: object, *, err: bool = False) -> None:
    """Print a line, of text that may come from a file: it is data, and no command to a terminal."""
    click.echo(printable(message), err=err)


def say_json(content: object) -> None:
    """Print one JSON object and nothing else; what is not finite is "nan", "inf" or "-inf" there.

    All text is ASCII, and so no command to a terminal, whatever a file had in it.
    """
    click.echo(json.dumps(without_nan(content), allow_nan=False))


def without_nan(content: Any) -> Any:
    """The same as JSON takes it: it has neither nan nor infinity.

    >>> without_nan({"last": float("nan"), "steps": (1, float("-inf"))})
    {'last': 'nan', 'steps': [1, '-inf']}
    """
    if isinstance(content, dict):
        return {key: without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_nan(value) for value in content]
    return str(content) if isinstance(content, float) and not isfinite(content) else content


def fail(message: str) -> NoReturn:
    """Say what went wrong, in one line and without a traceback, and exit with 1."""
    say(message, err=True)
    click.get_current_context().exit(1)


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


def runs_at(names: "Iterable[str]") -> list[Path]:
    """The folders of these runs, once each; a folder of runs stands for all that are in it."""
    found = [folder for name in names for folder in _runs_below(name) or [run_at(name)]]
    return list({folder.resolve(): folder for folder in found}.values())


def _runs_below(name: str) -> list[Path]:
    """Those of a folder, or of one in runs/."""
    return _runs_in(Path(name).expanduser()) or _runs_in(RUNS / name)


def _runs_in(folder: Path) -> list[Path]:
    """The runs in a folder, by name; one that it is itself comes first."""
    from loss_dashboard.curves.groups import by_number

    return sorted(run_folders(folder), key=lambda run: [*map(by_number, run.parts)])


def _complete_run(
    _context: click.Context, _parameter: click.Parameter, typed: str
) -> "list[CompletionItem]":
    """A folder on the way to a run, or the name of a run."""
    from click.shell_completion import CompletionItem

    names = [name for name in run_names() if name.startswith(typed)]
    return [CompletionItem(typed, type="dir"), *map(CompletionItem, names)]


run_argument = partial(click.argument, shell_complete=_complete_run)

group_option = click.option(
    "--group",
    metavar="KEY",
    help="Compare groups of runs by this setting, such as weighting.method; '' for one group.",
)
"""How runs are compared in groups."""

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object, for scripts."
)
