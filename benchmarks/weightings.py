"""What a training step costs under each weighting, as a ratio to that of the plain sum.

    python benchmarks/weightings.py               some minutes
    python benchmarks/weightings.py --quick       some seconds, to see that it runs

A step is everything: forward, weights, backward, statistics and the optimizer's step. All methods
train networks of the same shape in this process, in interleaved rounds, in CPU time on one thread.
A ratio is the median of the ratios within each round.
"""

from __future__ import annotations

import argparse
import os
import platform
import warnings
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from time import process_time
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    EqualWeighting,
    GradientDiagnostics,
    GradientShareWeighting,
    GradNorm,
    LossGroup,
    NormalizedWeighting,
    ReLoBRaLo,
    SoftAdapt,
    StaticWeighting,
    TargetWeighting,
    TorchJDWeighting,
    UncertaintySoftmax,
    UncertaintyWeighting,
)

Step = Callable[[], object]
Make = Callable[["Net"], Step]


class Net(nn.Module):
    """A shared trunk and a small head for each of K losses."""

    def __init__(self, trunk: nn.Module, width: int, batch: Tensor, count: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleList([nn.Linear(width, 1) for _ in range(count)])
        self.batch = batch
        self.targets = torch.randn(count, len(batch), 1)

    def forward(self) -> dict[str, Tensor]:
        hidden = self.trunk(self.batch)
        return {
            f"loss{index}": (head(hidden) - target).square().mean() + 0.1
            for index, (head, target) in enumerate(zip(self.heads, self.targets, strict=True))
        }


def small(count: int) -> Net:
    layers = [nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
    return Net(nn.Sequential(*layers), 64, torch.randn(32, 32), count)


def larger(count: int) -> Net:
    channels = (3, 32, 64, 128, 256)
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
    trunk = nn.Sequential(*layers, nn.Flatten())
    return Net(trunk, 256 * 2 * 2, torch.randn(16, 3, 32, 32), count)


NETS = {"small": small, "larger": larger}


# Who runs: each makes a step for a network.


def optimizer_for(net: Net, *more: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD([{"params": net.parameters()}, *more], lr=1e-3)


def group_step(net: Net, weighting: Any) -> Step:
    group = LossGroup(weighting=weighting)
    optimizer = optimizer_for(net, {"params": list(group.parameters())})

    def step() -> None:
        optimizer.zero_grad()
        group.update(net())
        optimizer.step()

    return step


def weigh_by(make_weighting: Callable[[], Any]) -> Make:
    return lambda net: group_step(net, make_weighting())


def scalarize_by(make_method: Callable[[], Any]) -> Make:
    return lambda net: group_step(net, TorchJDWeighting(make_method()))


def aggregate_by(make_method: Callable[[], Any]) -> Make:
    return lambda net: group_step(net, TorchJDWeighting(make_method(), net.parameters()))


def torchjd_alone(make_method: Callable[[], Any]) -> Make:
    return lambda net: torchjd_step(net, make_method())


def famo_step(net: Net, weighting: TorchJDWeighting) -> Step:
    step = group_step(net, weighting)

    def with_second_look() -> None:
        step()
        with torch.no_grad():
            weighting.update(net())

    return with_second_look


def measured_step(net: Net, parameters: list[Tensor]) -> Step:
    group, optimizer = LossGroup(), optimizer_for(net)
    gradients = GradientDiagnostics(parameters, every=1)

    def step() -> None:
        optimizer.zero_grad()
        losses = net()
        group.update(losses, extra=gradients.measure(losses))
        optimizer.step()

    return step


def torchjd_step(net: Net, aggregator: Any) -> Step:
    from torchjd.autojac import backward, jac_to_grad

    optimizer = optimizer_for(net)

    def step() -> None:
        optimizer.zero_grad()
        backward(list(net().values()))
        jac_to_grad(net.parameters(), aggregator)
        optimizer.step()

    return step


def ours(count: int) -> dict[str, Make]:
    made: dict[str, Callable[[], Any]] = {
        "plain sum": lambda: None,
        "EqualWeighting": EqualWeighting,
        "StaticWeighting": lambda: StaticWeighting(loss0=0.5),
        "CoVWeighting": CoVWeighting,
        "AutomaticWeightedLoss": lambda: AutomaticWeightedLoss(count),
        "UncertaintyWeighting": lambda: UncertaintyWeighting(count),
        "UncertaintySoftmax": UncertaintySoftmax,
        "NormalizedWeighting": NormalizedWeighting,
        "ReLoBRaLo": ReLoBRaLo,
        "SoftAdapt": SoftAdapt,
        "TargetWeighting": lambda: TargetWeighting(loss0=0.5),
    }
    return {name: weigh_by(make) for name, make in made.items()}


def measuring(_: int) -> dict[str, Make]:
    def at(make: Callable[[Any], Any], find: Callable[[Net], nn.Module]) -> Make:
        return lambda net: group_step(net, make(list(find(net).parameters())))

    made: dict[str, Callable[[Any], Any]] = {
        "GradientShareWeighting, every=10": GradientShareWeighting,
        "GradientShareWeighting, every=1": lambda at: GradientShareWeighting(at, every=1),
        "GradNorm": GradNorm,
    }
    whole = {name: at(make, lambda net: net) for name, make in made.items()}
    last = {f"{name}, last layer": at(make, last_layer) for name, make in made.items()}
    return whole | last


def scalarizers(count: int) -> dict[str, Make]:
    from torchjd import scalarization

    even = torch.full((count,), 1 / count)
    made: dict[str, Callable[[], Any]] = {
        "COSMOS": lambda: scalarization.COSMOS(1.0, even),
        "Constant": lambda: scalarization.Constant(even),
        "DWA": scalarization.DWA,
        "GeometricMean": scalarization.GeometricMean,
        "IMTLL": lambda: scalarization.IMTLL(count),
        "Mean": scalarization.Mean,
        "PBI": lambda: scalarization.PBI(1.0, even),
        "Random": scalarization.Random,
        "STCH": lambda: scalarization.STCH(1.0),
        "Sum": scalarization.Sum,
        "UW": lambda: scalarization.UW(count),
    }
    steps = {name: scalarize_by(make) for name, make in made.items()}
    famo = "FAMO, with its second forward"
    return steps | {famo: lambda net: famo_step(net, TorchJDWeighting(scalarization.FAMO(count)))}


def aggregators(count: int) -> dict[str, Make]:
    from torchjd import aggregation

    made: dict[str, Callable[[], Any]] = {
        "AlignedMTL": aggregation.AlignedMTL,
        "CAGrad": lambda: aggregation.CAGrad(c=0.4),
        "ConFIG": aggregation.ConFIG,
        "DualProj": aggregation.DualProj,
        "ExcessMTL": aggregation.ExcessMTL,
        "FairGrad": lambda: aggregation.FairGrad(1.0),
        "GradVac": aggregation.GradVac,
        "IMTLG": aggregation.IMTLG,
        "MGDA": aggregation.MGDA,
        "NashMTL": lambda: aggregation.NashMTL(count),
        "PCD": aggregation.PCD,
        "PCGrad": aggregation.PCGrad,
        "UPGrad": aggregation.UPGrad,
    }
    alone = {
        f"torchjd.autojac alone, {name}": torchjd_alone(made[name]) for name in ("MGDA", "PCGrad")
    }
    return {name: aggregate_by(make) for name, make in made.items()} | alone


def diagnostics(_: int) -> dict[str, Make]:
    return {
        "every parameter": lambda net: measured_step(net, list(net.parameters())),
        "the last shared layer": lambda net: measured_step(net, list(last_layer(net).parameters())),
    }


def last_layer(net: Net) -> nn.Module:
    return [layer for layer in net.trunk.children() if list(layer.parameters())][-1]


SECTIONS = {
    "OURS": ours,
    "OURS, BY GRADIENTS": measuring,
    "TORCHJD.SCALARIZATION": scalarizers,
    "TORCHJD.AGGREGATION": aggregators,
    "PLAIN SUM + GRADIENT DIAGNOSTICS, AT A STEP THAT MEASURES": diagnostics,
}


# Measuring.


class Effort(NamedTuple):
    """How long to measure, and what."""

    rounds: int
    seconds: float
    nets: tuple[str, ...]
    counts: tuple[int, ...]


FULL = Effort(9, 0.05, ("small", "larger"), (3, 8))
QUICK = Effort(1, 0.0, ("small",), (3,))


def seconds_for(step: Any, calls: int) -> float:
    start = process_time()
    for _ in range(calls):
        step()
    return process_time() - start


def race(steps: dict[str, Any], effort: Effort) -> dict[str, list[float]]:
    """Seconds per step of each, one number a round."""
    calls = {}
    for name, step in steps.items():
        step()
        calls[name] = max(1, int(effort.seconds / (seconds_for(step, 2) / 2 + 1e-9)))
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(effort.rounds):
        for name, step in steps.items():
            times[name].append(seconds_for(step, calls[name]) / calls[name])
    return times


def make_steps(make_net: Callable[[int], Net], count: int) -> dict[str, Any]:
    steps = {}
    for makers in SECTIONS.values():
        for name, make in makers(count).items():
            torch.manual_seed(0)
            try:
                steps[name] = make(make_net(count))
            except ImportError as error:
                print(f"without {name}: {error}")
    return steps


def column(times: dict[str, list[float]]) -> dict[str, str]:
    base = times["plain sum"]
    ratios = {
        name: median(one / other for one, other in zip(own, base, strict=True))
        for name, own in times.items()
    }
    return {name: f"{ratio:.2f}" for name, ratio in ratios.items()} | {
        "plain sum": f"1 ({median(base) * 1000:.2f} ms)"
    }


def table(columns: dict[str, dict[str, str]]) -> str:
    rows = [["step time / that of the plain sum", *columns]]
    for section, makers in SECTIONS.items():
        rows.append([section, *("" for _ in columns)])
        rows += [
            [name, *(cells[name] for cells in columns.values())]
            for name in makers(1)
            if all(name in cells for cells in columns.values())
        ]
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(
        f"| {' | '.join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])} |"
        for row in rows
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="see that it runs; numbers are noise")
    effort = QUICK if parser.parse_args().quick else FULL
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")

    print(
        f"torch {torch.__version__}, 1 thread on {os.cpu_count()} CPUs, Python"
        f" {platform.python_version()}, {platform.system()} {platform.machine()};"
        f" {effort.rounds} rounds"
    )
    for name in effort.nets:
        size = sum(parameter.numel() for parameter in NETS[name](1).parameters())
        print(f"{name}: {size:,} parameters")
    columns = {
        f"{name}, K={count}": column(race(make_steps(NETS[name], count), effort))
        for name in effort.nets
        for count in effort.counts
    }
    print(f"\n{table(columns)}")


if __name__ == "__main__":
    main()
