"""`losses watch`: a run in the terminal, while it is written."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from loss_dashboard.find_run import LATEST

from ._common import INTERRUPTED, RunArgument, fail, run_at


def watch(
    run: RunArgument = LATEST,
    once: Annotated[bool, typer.Option("--once", help="Print what there is now, and end.")] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="A line for what is new, until the run ends; no charts.")
    ] = False,
) -> None:
    """Watch losses, weights, CoV and alerts; without a terminal it is as with --plain."""
    folder = run_at(run)
    if once or plain or not sys.stdout.isatty():
        _print(folder, once, plain)
        return
    if find_spec("textual") is None:
        fail("watch needs textual: pip install 'multi-loss-weighting[tui]', or use --plain")
    from loss_dashboard.terminal.app import WatchApp

    WatchApp(folder).run()


def _print(folder: Path, once: bool, plain: bool) -> None:
    from rich.console import Console

    from loss_dashboard.reader import RunReader
    from loss_dashboard.terminal.plain import follow, print_once

    console, reader = Console(highlight=False), RunReader(folder, columns=())
    try:
        if once:
            print_once(reader, console, charts=not plain)
        else:
            follow(reader, console)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
