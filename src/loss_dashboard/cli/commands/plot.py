"""`losses plot`: a picture of one run, or of several compared."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path

import click

from loss_dashboard.cli._common import fail, run_argument, run_at, say, why


@click.command()
@run_argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("losses.png"),
    help="A file that ends in .png, .svg or .pdf.",
)
@click.option("--x", type=click.Choice(("step", "epoch")), default="step", help="Over what.")
def plot(runs: tuple[str, ...], output: Path, x: str) -> None:
    """Draw losses and weights; the first run has solid lines, the others have dashed ones.

    RUN is a path, a name in runs/ or `latest`. Over epochs their means have a panel, too.
    """
    folders = {folder.resolve(): folder for folder in map(run_at, runs)}  # each of them once
    if find_spec("matplotlib") is None:
        fail("plot needs matplotlib: pip install 'multi-loss-weighting[plot]'")
    from loss_dashboard.plotting.load_matplotlib import load_without_help
    from loss_dashboard.plotting.plots import NothingToDrawError, plot_runs

    tell = partial(say, err=True)
    try:
        drawn = [*folders.values()]
        say(plot_runs(drawn, output, x=x, load_matplotlib=load_without_help, tell=tell))
    except NothingToDrawError as error:
        fail(str(error))
    except (OSError, ValueError) as error:
        fail(f"cannot draw {output}: {why(error, output)}")
