"""What tracking three losses adds to a real training step of about half a millisecond, on the CPU.

    python benchmarks/training_loop.py            half a minute
    python benchmarks/training_loop.py --quick    some seconds, to see that it runs

Each contestant trains a network of its own. They take turns (A B C A B C ...), so that whatever
else the machine does hits them alike; what one adds is the median, over the rounds, of its time
less that of the bare loop in the same round. Lightning runs in its own `Trainer`, with a round of
`fit` each with and without the calls of `self.log`, since its loop is not ours.
"""

from __future__ import annotations

import argparse
import csv
import gc
import logging
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from loss_loggers import CsvLogger
from multi_loss_weighting import AutomaticWeightedLoss, CoVWeighting, LossGroup, Trackers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.peers import PublishedAutomaticWeightedLoss, PublishedCoV, WholeHistory
    from benchmarks.speed import Row, clock, environment, table
else:  # beside a script, modules go by their bare names
    from peers import PublishedAutomaticWeightedLoss, PublishedCoV, WholeHistory
    from speed import Row, clock, environment, table

NAMES = ("recon", "kl", "adversarial")


class Effort(NamedTuple):
    """How long to measure."""

    rounds: int
    steps: int


FULL, QUICK = Effort(31, 40), Effort(3, 3)
LIGHTNING = 3
"""Lightning's rounds are dear: so many times fewer, and so many times longer."""


class Network(nn.Module):
    """A small network with three losses."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())
        self.heads = nn.Linear(64, 48)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        recon, kl, adversarial = self.heads(self.body(images)).split(16, dim=1)
        return {
            "recon": (recon - 1).square().mean(),
            "kl": kl.square().mean(),
            "adversarial": nn.functional.softplus(adversarial).mean(),
        }


def images() -> Tensor:
    return torch.randn(64, 64, generator=torch.Generator().manual_seed(0))


# Contestants: each takes the losses of a step, has backward called on their total, and keeps track.


def plain_sum(losses: dict[str, Tensor]) -> None:
    sum(losses.values(), torch.zeros(())).backward()  # type: ignore[no-untyped-call]


def items() -> Any:
    def step(losses: dict[str, Tensor]) -> None:
        plain_sum(losses)
        for loss in losses.values():
            loss.item()

    return step


def group(weighting: Callable[[], Any], logger: Callable[[], Any] = lambda: None) -> Any:
    return LossGroup(NAMES, logger(), weighting=weighting()).update


def group_and_csv_writer(file: Path) -> Any:
    """What any record of as many numbers costs, each line of them safe before the next step."""
    update, numbers = group(CoVWeighting), [(n + 2) ** 0.5 for n in range(26)]
    opened = file.open("w", newline="")
    writer = csv.writer(opened)

    def step(losses: dict[str, Tensor]) -> None:
        update(losses)
        writer.writerow([time.time(), *numbers])
        opened.flush()

    return step


def trackers() -> Any:
    every = Trackers(NAMES)

    def step(losses: dict[str, Tensor]) -> None:
        weighted = [every[name].update(loss, do_backwards=False) for name, loss in losses.items()]
        sum(weighted, torch.zeros(())).backward()
        every.step()

    return step


def published_cov() -> Any:
    cov = PublishedCoV(len(NAMES))
    return lambda losses: cov(*losses.values()).backward()  # type: ignore[no-untyped-call]


def published_learned() -> Any:
    learned = PublishedAutomaticWeightedLoss(len(NAMES))
    return lambda losses: learned(*losses.values()).backward()


def whole_history(age: int) -> Any:
    every = {name: WholeHistory(age) for name in NAMES}

    def step(losses: dict[str, Tensor]) -> None:
        weighted = [every[name].add(loss) for name, loss in losses.items()]
        sum(weighted, torch.zeros(())).backward()  # type: ignore[no-untyped-call]

    return step


def mean_metrics() -> Any:
    from torchmetrics import MeanMetric

    every = {name: MeanMetric() for name in NAMES}

    def step(losses: dict[str, Tensor]) -> None:
        plain_sum(losses)
        for name, loss in losses.items():
            every[name].update(loss.detach())

    return step


def contestants(folder: Path) -> dict[str, Callable[[], Any]]:
    made: dict[str, Callable[[], Any]] = {
        "bare": lambda: plain_sum,
        "bare, again": lambda: plain_sum,
        "3 x item()": items,
        "LossGroup, plain sum": partial(group, lambda: None),
        "LossGroup, CoV": partial(group, CoVWeighting),
        "LossGroup, learned": partial(group, lambda: AutomaticWeightedLoss(3)),
        "LossGroup, CoV, CsvLogger": partial(
            group, CoVWeighting, lambda: CsvLogger(folder / "run")
        ),
        "LossGroup, CoV, csv.writer": partial(group_and_csv_writer, folder / "by_hand.csv"),
        "Trackers": trackers,
        "published CoV": published_cov,
        "published learned": published_learned,
        "whole history, 1,000 steps old": partial(whole_history, 1_000),
        "whole history, 100,000 steps old": partial(whole_history, 100_000),
    }
    try:
        import torchmetrics  # noqa: F401, whether it is there
    except ImportError:
        print("without torchmetrics, which is not installed: pip install torchmetrics")
        return made
    return made | {"3 x torchmetrics MeanMetric": mean_metrics}


def training_step(keep_track: Any) -> Callable[[], None]:
    network, batch = Network(), images()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        keep_track(network(batch))
        optimizer.step()

    return step


def microseconds(step: Callable[[], None], steps: int) -> float:
    start = clock()
    for _ in range(steps):
        step()
    return (clock() - start) / steps * 1e6


def race(steps: Mapping[str, Callable[[], None]], effort: Effort) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(effort.rounds):
        for name, step in steps.items():
            microseconds(step, 1 + effort.steps // 4)  # its own memory is in the caches again
            times[name].append(microseconds(step, effort.steps))
    return times


def added_rows(times: Mapping[str, list[float]], bare: str, step: float) -> list[Row]:
    """What each adds to `bare`, in µs and in percent of a step."""
    rows = []
    for name, its in times.items():
        added = median(one - other for one, other in zip(its, times[bare], strict=True))
        rows.append([name, f"{median(its):.0f}", f"{added:.1f}", f"{added / step * 100:.1f}"])
    return rows


# Lightning, in its own loop.


def lightning_times(effort: Effort) -> dict[str, list[float]]:
    """Microseconds per step of `Trainer.fit`, bare, with our callback and with `self.log`."""
    try:
        import lightning as pl
    except ImportError:
        print("without Lightning, which is not installed: pip install lightning")
        return {}
    from multi_loss_weighting.integrations.lightning import LossCallback

    class Module(pl.LightningModule):
        def __init__(self, kind: str) -> None:
            super().__init__()
            self.network, self.kind = Network(), kind
            self.losses = LossGroup(NAMES, weighting=CoVWeighting())

        def training_step(self, batch: Tensor, _: int) -> Tensor:
            losses = self.network(batch)
            if self.kind == "ours":
                return self.losses(losses)  # type: ignore[no-any-return]
            if self.kind == "log":
                for name, loss in losses.items():
                    self.log(name, loss)
            return sum(losses.values(), torch.zeros(()))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=1e-3, momentum=0.9)

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    kinds = {
        "Trainer": "bare",
        "Trainer, LossGroup, CoV": "ours",
        "Trainer, 3 x self.log": "log",
    }
    steps = effort.steps * LIGHTNING

    def fit(kind: str) -> float:
        trainer = pl.Trainer(
            max_steps=steps,
            accelerator="cpu",
            logger=False,
            callbacks=[LossCallback()] if kind == "ours" else [],
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
        )
        module = Module(kind)
        loader: Any = DataLoader([images()] * steps, batch_size=None)  # type: ignore[arg-type]
        start = clock()
        trainer.fit(module, loader)
        return (clock() - start) / steps * 1e6

    times: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(1 + effort.rounds // LIGHTNING):
        for name, kind in kinds.items():
            times[name].append(fit(kind))
    return {name: its[1:] or its for name, its in times.items()}  # the first round warms up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="see that it runs; numbers are noise")
    parser.add_argument("--markdown", action="store_true", help="a table for a README")
    options = parser.parse_args()
    effort = QUICK if options.quick else FULL
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*have not moved")

    print(environment(effort.rounds))
    with tempfile.TemporaryDirectory() as folder:
        made = contestants(Path(folder))
        times = race({name: training_step(make()) for name, make in made.items()}, effort)
        gc.collect()  # the logger goes before its folder
    step = median(times["bare"])
    rows = added_rows(times, "bare", step)
    its = lightning_times(effort)
    if its:
        rows += added_rows(its, "Trainer", step)
    header = ["K=3", "step, µs", "added, µs", f"in % of {step:.0f} µs"]
    print(f"\n{table(header, rows, options.markdown)}")


if __name__ == "__main__":
    main()
