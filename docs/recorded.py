"""Record the runs that the site shows, and write their pages.

python docs/recorded.py FOLDER
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from loss_dashboard.demo import Gan, train
from loss_loggers import CsvLogger
from multi_loss_weighting import (
    CoVWeighting,
    LossGroup,
    NormalizedWeighting,
    UncertaintyWeighting,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from multi_loss_weighting import Weighting

SHARE = float(os.environ.get("RECORDED_SHARE", "1"))
"""How many of the steps are trained: to test the site, few are enough."""

SEEDS = 10
WEIGHTINGS: dict[str, Callable[[], Weighting | None]] = {
    "sum": lambda: None,
    "normalized": NormalizedWeighting,
    "uncertainty": lambda: UncertaintyWeighting(3),
}


class BrokenGan(Gan):
    """The GAN of the demo, of which one batch is broken."""

    def __init__(self, broken: int) -> None:
        super().__init__()
        self._batches_to_go = broken

    def losses(self) -> dict[str, Tensor]:
        """The loss of each player; once that of the discriminator is nan."""
        self._batches_to_go -= 1
        losses = super().losses()
        return losses if self._batches_to_go else losses | {"D": losses["D"] * torch.nan}


def record_gan(folder: Path, steps: int) -> None:
    """A GAN, with a NaN after three quarters of its steps."""
    torch.manual_seed(0)
    problem = BrokenGan(broken=steps * 3 // 4)
    warnings.filterwarnings("ignore", message="loss 'D' is nan")
    with CsvLogger(folder) as logger:
        group = LossGroup([*problem.static], logger, weighting=CoVWeighting())
        for _ in train(problem, group, steps):
            pass


def record_seeds(folder: Path, steps: int) -> None:
    """Ten seeds of three weightings: a network with three tasks in units far apart."""
    units = {"depth": 10.0, "normal": 0.1, "label": 1.0}
    for name, make in WEIGHTINGS.items():
        for seed in range(SEEDS):
            torch.manual_seed(seed)
            network, truth = (_perceptron(len(units)) for _ in range(2))
            with CsvLogger(folder / f"{name}-{seed}") as logger:
                group = LossGroup([*units], logger, weighting=make())
                _train(network, truth, group, list(units.values()), steps)


def record_many(folder: Path, steps: int) -> None:
    """24 losses: four of each of six heads, which see less and less."""
    torch.manual_seed(0)
    names = [f"head.{head}.{kind}" for head in range(6) for kind in ("box", "cls", "dfl", "obj")]
    network, truth = (_perceptron(len(names)) for _ in range(2))
    units = [2.0 ** -(number // 4) * (1 + number % 4) for number in range(len(names))]
    with CsvLogger(folder) as logger:
        group = LossGroup(names, logger, weighting=CoVWeighting())
        _train(network, truth, group, units, steps)


def _train(
    network: nn.Module, truth: nn.Module, group: LossGroup, units: list[float], steps: int
) -> None:
    """Let a network learn what another one gives, which has noise on it."""
    learned = group.parameter_group()
    optimizer = torch.optim.Adam([{"params": [*network.parameters()]}, learned], lr=3e-3)
    scale = torch.tensor(units)
    for _ in range(steps):
        inputs = torch.randn(128, 8)
        targets = truth(inputs).detach() + torch.randn(len(units)) / 30
        errors = ((network(inputs) - targets) * scale).square().mean(dim=0)
        group.update(dict(zip(group.names, errors, strict=True)))
        optimizer.step()
        optimizer.zero_grad()


def _perceptron(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, outputs))


def report(*arguments: str | Path) -> None:
    """Write a page, as `losses report` does."""
    command = [sys.executable, "-m", "loss_dashboard", "report", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main(folder: Path) -> None:
    """Record all, and write `gan.html`, `seeds.html` and `many.html`."""
    torch.set_num_threads(1)
    record_gan(folder / "gan", int(400 * SHARE))
    record_seeds(folder / "seeds", int(150 * SHARE))
    record_many(folder / "many", int(300 * SHARE))
    report(folder / "gan", "-o", folder / "gan.html")
    report(folder / "seeds", "--group", "weighting.method", "-o", folder / "seeds.html")
    report(folder / "many", "-o", folder / "many.html")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
