"""`losses demo`: a small network trained on several losses, recorded."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path

import click

from loss_dashboard._installed import how_to_install
from loss_dashboard.cli._common import fail
from loss_dashboard.cli._interrupts import INTERRUPTED
from loss_dashboard.runs.find_run import RUNS
from loss_dashboard.web import missing

METHODS = ("sum", "equal", "static", "cov", "automatic", "uncertainty", "gradients")
"""The ways to weigh the losses of the demo."""

PROBLEMS = {"gan": ("cov", 3000), "vae": ("static", 3000), "pinn": ("gradients", 3000)}
"""What the demo trains, with the way to weigh it and the steps, unless others are asked for."""


@click.command()
@click.option(
    "--problem",
    type=click.Choice([*PROBLEMS]),
    default="gan",
    help="An adversarial autoencoder, a variational one, or a physics-informed network.",
)
@click.option(
    "--weighting",
    metavar="METHOD",
    type=click.Choice(METHODS),
    show_default="by problem",
    help=f"How to weigh: {', '.join(METHODS)}.",
)
@click.option(
    "--steps", type=click.IntRange(1), show_default="by problem", help="Updates of the network."
)
@click.option("--seed", default=0, help="The same seed gives the same numbers.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    show_default=str(RUNS / "PROBLEM"),
    help="The folder to record in; a numbered sibling if it is taken.",
)
@click.option("--serve", is_flag=True, help="Serve the page meanwhile, to watch in a browser.")
@click.option("--open", "open_", is_flag=True, help="Serve it and open the browser.")
def demo(
    problem: str,
    weighting: str | None,
    steps: int | None,
    seed: int,
    out: Path | None,
    serve: bool,
    open_: bool,
) -> None:
    """Train a small network that has several losses, for some 20 seconds, and record it."""
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
    usual_weighting, usual_steps = PROBLEMS[problem]
    weighting, steps = weighting or usual_weighting, steps or usual_steps
    out = out or RUNS / problem
    try:
        out.mkdir(parents=True, exist_ok=True)
        completed = run_demo(problem, weighting, steps, seed, out, stdout(), page)
    except OSError as error:
        fail(f"cannot record in {out}: {error.strerror or error}")
    if not completed:
        click.get_current_context().exit(INTERRUPTED)
