"""`losses demo`: a small network trained on three losses, recorded."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path

import click

from loss_dashboard._installed import how_to_install
from loss_dashboard.cli import INTERRUPTED
from loss_dashboard.cli._common import fail
from loss_dashboard.runs.find_run import RUNS
from loss_dashboard.web import missing

METHODS = ("sum", "equal", "static", "cov", "automatic", "uncertainty")
"""The ways to weigh the losses of the demo."""


@click.command()
@click.option(
    "--weighting",
    metavar="METHOD",
    type=click.Choice(METHODS),
    default="cov",
    help=f"How to weigh: {', '.join(METHODS)}.",
)
@click.option("--steps", type=click.IntRange(1), default=4000, help="Updates of the network.")
@click.option("--seed", default=0, help="The same seed gives the same numbers.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=RUNS / "demo",
    help="The folder to record in; a numbered sibling if it is taken.",
)
@click.option("--serve", is_flag=True, help="Serve the page meanwhile, to watch in a browser.")
@click.option("--open", "open_", is_flag=True, help="Serve it and open the browser.")
def demo(weighting: str, steps: int, seed: int, out: Path, serve: bool, open_: bool) -> None:
    """Train an adversarial autoencoder on handwritten digits: three losses, half a minute."""
    needed = ("torch", "sklearn", "matplotlib")
    if lacking := [name for name in needed if find_spec(name) is None]:
        fail(f"demo needs {' and '.join(lacking)}: pip install 'multi-loss-weighting[demo]'")
    serves = serve or open_
    if serves and (lacking := missing()):
        fail(f"demo --serve needs {' and '.join(lacking)}: {how_to_install('dashboard')}")
    from loss_dashboard.demo import run_demo
    from loss_dashboard.terminal.tables import stdout
    from loss_dashboard.web.subprocess_server import serve_in_subprocess

    page = partial(serve_in_subprocess, open_page=open_) if serves else None
    try:
        out.mkdir(parents=True, exist_ok=True)
        completed = run_demo(weighting, steps, seed, out, stdout(), page)
    except OSError as error:
        fail(f"cannot record in {out}: {error.strerror or error}")
    if not completed:
        click.get_current_context().exit(INTERRUPTED)
