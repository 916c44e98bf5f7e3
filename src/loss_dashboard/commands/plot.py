"""`losses plot`: a picture of one run, or of several compared."""

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
    folders = [run_at(run) for run in runs]
    if find_spec("matplotlib") is None:
        fail("plot needs matplotlib: pip install 'multi-loss-weighting[plot]'")
    from loss_dashboard._matplotlib import load_without_help
    from loss_dashboard.plots import plot_runs

    try:
        typer.echo(plot_runs(folders, output, load_matplotlib=load_without_help))
    except (OSError, ValueError) as error:
        fail(f"cannot draw {output}: {why(error, output)}")
