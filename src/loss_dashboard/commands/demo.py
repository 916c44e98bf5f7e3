"""`losses demo`: a small network trained on three losses, recorded."""

from enum import Enum
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from loss_dashboard import beside
from loss_dashboard.find_run import RUNS
from loss_dashboard.installed import how_to_install

from ._common import INTERRUPTED, fail


class Method(str, Enum):
    """The ways to weigh the losses of the demo."""

    sum = "sum"
    equal = "equal"
    static = "static"
    cov = "cov"
    automatic = "automatic"
    uncertainty = "uncertainty"


def demo(
    weighting: Annotated[
        Method, typer.Option(metavar="METHOD", help=f"How to weigh: {', '.join(Method)}.")
    ] = Method.cov,
    steps: Annotated[int, typer.Option(min=1, help="Updates of the network.")] = 4000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same numbers.")] = 0,
    out: Annotated[
        Path, typer.Option(help="The folder to record in; a numbered sibling if it is taken.")
    ] = RUNS / "demo",
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve the page meanwhile, to watch in a browser.")
    ] = False,
    open_: Annotated[bool, typer.Option("--open", help="Serve it and open the browser.")] = False,
) -> None:
    """Train an adversarial autoencoder on handwritten digits: three losses, half a minute."""
    missing = [name for name in ("torch", "sklearn", "matplotlib") if find_spec(name) is None]
    if missing:
        fail(f"demo needs {' and '.join(missing)}: pip install 'multi-loss-weighting[demo]'")
    serves = serve or open_
    if serves and (missing := beside.missing()):
        fail(f"demo --serve needs {' and '.join(missing)}: {how_to_install('dashboard')}")
    from loss_dashboard._tables import stdout
    from loss_dashboard.demo import run_demo

    page = partial(beside.page_beside, open_page=open_) if serves else None
    try:
        out.mkdir(parents=True, exist_ok=True)
        completed = run_demo(weighting.value, steps, seed, out, stdout(), page)
    except OSError as error:
        fail(f"cannot record in {out}: {error.strerror or error}")
    if not completed:
        raise typer.Exit(INTERRUPTED)
