"""`losses watch`: a run in the terminal, while it is written."""

import sys
from importlib.util import find_spec
from pathlib import Path

import click

from loss_dashboard.cli._common import fail, json_option, run_argument, run_at, say_json
from loss_dashboard.runs.find_run import LATEST


@click.command()
@run_argument("run", default=LATEST)
@click.option("--once", is_flag=True, help="Print what there is now, and end.")
@click.option(
    "--plain", is_flag=True, help="A line for what is new, until the run ends; no charts."
)
@json_option
def watch(run: str, once: bool, plain: bool, as_json: bool) -> None:
    """Watch losses, weights, CoV and alerts; without a terminal it is as with --plain.

    RUN is a path, a name in runs/ or `latest`, which is the default.
    """
    folder = run_at(run)
    if as_json:
        if not once:
            fail("--json tells of one moment: watch RUN --once --json")
        _print_json(folder)
        return
    if once or plain or not sys.stdout.isatty():
        _print(folder, once, plain)
        return
    if find_spec("textual") is None:
        fail("watch needs textual: pip install 'multi-loss-weighting[tui]', or use --plain")
    from loss_dashboard.terminal.app import WatchApp

    WatchApp(folder).run()


def _print_json(folder: Path) -> None:
    from loss_dashboard.reading import RunReader
    from loss_dashboard.terminal.as_json import run_as_json

    say_json(run_as_json(RunReader(folder, columns=())))


def _print(folder: Path, once: bool, plain: bool) -> None:
    from rich.console import Console

    from loss_dashboard.reading import RunReader
    from loss_dashboard.terminal.plain import follow, print_once

    console, reader = Console(highlight=False), RunReader(folder, columns=())
    if once:
        print_once(reader, console, charts=not plain)
    else:
        follow(reader, console)
