"""The demo from start to end: data, network, group, training, report."""

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
    LossGroup,
    StaticWeighting,
    UncertaintyWeighting,
)

from ._autoencoder import AdversarialAutoencoder
from ._digits import draw_digits, load_images
from ._interrupt import Interrupt
from ._progress import progress
from ._report import quality, results, where_next
from ._train import train

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from rich.console import Console

    from loss_dashboard.web.subprocess_server import Page
    from multi_loss_weighting import Weighting

NAMES = ("G", "D", "E")

WEIGHTINGS: dict[str, Callable[[], Weighting | None]] = {
    "sum": lambda: None,
    "equal": EqualWeighting,
    "static": lambda: StaticWeighting({"G": 0.1, "D": 1.0, "E": 1.0}),
    "cov": CoVWeighting,
    "automatic": lambda: AutomaticWeightedLoss(len(NAMES)),
    "uncertainty": lambda: UncertaintyWeighting(len(NAMES)),
}


def run_demo(
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
    images, held_out = load_images()
    model = AdversarialAutoencoder()
    before = quality(model, held_out)

    with CsvLogger(out) as logger, serve(logger.path) if serve else nullcontext() as page:
        with Interrupt() as interrupt, progress(steps, console) as show:
            group = LossGroup(NAMES, logger, weighting=WEIGHTINGS[weighting]())
            for done in train(model, images, group, steps):
                show(done, group)
                if interrupt.asked:
                    break
        logger.close()  # while there is a page to say so

        if done < steps:
            console.print(
                f"Stopped by Ctrl-C after {done} of {steps} steps; all of them are recorded."
            )
        console.print(results(group, before, quality(model, held_out)))
        plot_run(logger.path, logger.path / "losses.png")
        draw_digits(model, held_out, logger.path / "digits.png")
        console.print(where_next(logger.path, weighting), markup=False, soft_wrap=True)
        if page and page.is_there and done == steps:
            console.print("\nThe page stays until Ctrl-C.")
            page.stay()
    return done == steps
