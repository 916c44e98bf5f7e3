"""The demo from start to end: problem, group, training, report."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch

from loss_dashboard.plotting.plots import plot_run
from loss_loggers import CsvLogger
from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    EqualWeighting,
    GradientShareWeighting,
    LossGroup,
    StaticWeighting,
    UncertaintyWeighting,
)

from ._gan import Gan
from ._interrupt import Interrupt
from ._pinn import Pinn
from ._progress import progress
from ._report import results, where_next
from ._train import train
from ._vae import Vae

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from rich.console import Console

    from loss_dashboard.web.subprocess_server import Page
    from multi_loss_weighting import Weighting

    from ._problem import Problem

PROBLEMS: dict[str, Callable[[], Problem]] = {"gan": Gan, "vae": Vae, "pinn": Pinn}

WEIGHTINGS: dict[str, Callable[[Problem], Weighting | None]] = {
    "sum": lambda _: None,
    "equal": lambda _: EqualWeighting(),
    "static": lambda problem: StaticWeighting(problem.static),
    "cov": lambda _: CoVWeighting(),
    "automatic": lambda problem: AutomaticWeightedLoss(len(problem.static)),
    "uncertainty": lambda problem: UncertaintyWeighting(len(problem.static)),
    "gradients": lambda problem: GradientShareWeighting(problem.network.parameters()),
}


def run_demo(
    name: str,
    weighting: str,
    steps: int,
    seed: int,
    out: Path,
    console: Console,
    serve: Callable[[Path], AbstractContextManager[Page]] | None = None,
) -> bool:
    """Train, record and report; whether it went through all steps.

    Where there is something to `serve` the folder of the run, its page stays until Ctrl-C.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # the fastest for layers this small, and the same sums every time
    problem = PROBLEMS[name]()
    before = problem.quality()

    with CsvLogger(out) as logger, serve(logger.path) if serve else nullcontext() as page:
        logger.log_hyperparams({"seed": seed})  # by which runs are told apart, or grouped
        with Interrupt() as interrupt, progress(steps, console) as show:
            group = LossGroup([*problem.static], logger, weighting=WEIGHTINGS[weighting](problem))
            for done in train(problem, group, steps):
                show(done, group)
                if interrupt.asked:
                    break
        logger.close()  # while there is a page to say so

        if done < steps:
            console.print(
                f"Stopped by Ctrl-C after {done} of {steps} steps; all of them are recorded."
            )
        console.print(results(group, problem, before, problem.quality()))
        plot_run(logger.path, logger.path / "losses.png")
        problem.draw(logger.path / problem.picture[0])
        next_steps = where_next(logger.path, name, weighting, problem.picture)
        console.print(next_steps, markup=False, soft_wrap=True)
        if page and page.is_there and done == steps:
            console.print("\nThe page stays until Ctrl-C.")
            page.stay()
    return done == steps
