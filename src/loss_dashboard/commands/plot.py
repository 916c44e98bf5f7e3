"""`losses plot`: a picture of one run, or of several compared."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from ._common import RunsArgument, fail, run_at, why


def plot(
    runs: RunsArgument,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="A file that ends in .png, .svg or .pdf.")
    ] = Path("losses.png"),
) -> None:
    """Draw losses and weights; the first run has solid lines, the others have dashed ones."""
    folders = {folder.resolve(): folder for folder in map(run_at, runs)}  # each of them once
    if find_spec("matplotlib") is None:
        fail("plot needs matplotlib: pip install 'multi-loss-weighting[plot]'")
    from loss_dashboard._matplotlib import load_without_help
    from loss_dashboard.plots import NothingToDrawError, plot_runs

    tell = partial(typer.echo, err=True)
    try:
        drawn = [*folders.values()]
        typer.echo(plot_runs(drawn, output, load_matplotlib=load_without_help, tell=tell))
    except NothingToDrawError as error:
        fail(str(error))
    except (OSError, ValueError) as error:
        fail(f"cannot draw {output}: {why(error, output)}")
