"""What came of the demo: the losses, what the network learned, and where to look."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from rich.console import Group

from loss_dashboard._hints import hints, short
from loss_dashboard._installed import how_to_install
from loss_dashboard.curves.numbers import figures
from loss_dashboard.terminal.tables import loss_table, table
from loss_dashboard.web import missing

from ._autoencoder import squared_error

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from multi_loss_weighting import LossGroup

    from ._autoencoder import AdversarialAutoencoder

CAUTION = "The weights are a method's choice, not a proven gain: compare methods."
FILES = {
    "losses.png": "losses and weights",
    "digits.png": "digits that training never saw, reconstructed; and new ones",
    "losses.csv": "every step",
}


class Quality(NamedTuple):
    """How well the network does on images that it never saw."""

    error: float
    spread: float


@torch.no_grad()
def quality(model: AdversarialAutoencoder, held_out: Tensor) -> Quality:
    """The error of reconstructions, and the standard deviation of the codes."""
    error = squared_error(model.reconstruct(held_out), held_out)
    return Quality(error.item(), model.encoder(held_out).std().item())


def results(group: LossGroup, before: Quality, after: Quality) -> Group:
    """What the losses did, and what the network learned from them."""
    learned = table("held-out digits", "before", "after")
    learned.add_row("squared error", figures(before.error), figures(after.error))
    learned.add_row("std of codes (aim: 1)", figures(before.spread), figures(after.spread))
    return Group("", loss_table(group), "", learned, "", CAUTION, "")


def where_next(folder: Path, weighting: str) -> str:
    """The files to look at and the commands to try."""
    other = "cov" if weighting == "sum" else "sum"
    files = {short(folder / name): content for name, content in FILES.items()}
    run = short(folder)
    first = f", after {how_to_install('dashboard')}" if missing() else ""
    commands = {
        f"losses serve {run} --open": f"all of it in the browser{first}",
        "losses demo --serve --open": "the same, live while it trains",
        f"losses watch {run}": "losses, weights and CoV in this terminal",
        f"losses plot {run} -o losses.svg": "the picture again, for a paper",
        f"losses demo --weighting {other}": "the same network, weighted otherwise",
        f"losses ls {short(folder.parent)}": "all runs",
        f'pandas.read_csv("{short(folder / "losses.csv")}")': "in Python: the record as a table",
    }
    return f"Written\n{hints(files)}\n\nNext\n{hints(commands)}"
