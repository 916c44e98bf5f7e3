"""Everything that TorchJD exports, and a network to train with it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from loss_loggers import MemoryLogger
from multi_loss_weighting import LossGroup, TorchJDWeighting
from multi_loss_weighting.statistics._history import History
from multi_loss_weighting.statistics._statistics import Statistics

if TYPE_CHECKING:
    from collections.abc import Callable

torchjd = pytest.importorskip("torchjd", reason="torchjd is not installed")
aggregation = pytest.importorskip("torchjd.aggregation", reason="torchjd is not installed")
scalarization = pytest.importorskip("torchjd.scalarization", reason="torchjd is not installed")

NAMES = ("a", "b", "c")
PREFERENCE = torch.tensor([0.5, 0.3, 0.2])

SCALARIZERS: dict[str, Callable[[], Any]] = {
    "COSMOS": lambda: scalarization.COSMOS(0.5, PREFERENCE),
    "Constant": lambda: scalarization.Constant(PREFERENCE),
    "DWA": lambda: scalarization.DWA(1.0),
    "FAMO": lambda: scalarization.FAMO(3),
    "GeometricMean": lambda: scalarization.GeometricMean(),
    "IMTLL": lambda: scalarization.IMTLL(3),
    "Mean": lambda: scalarization.Mean(),
    "PBI": lambda: scalarization.PBI(2.0, PREFERENCE),
    "Random": lambda: scalarization.Random(),
    "STCH": lambda: scalarization.STCH(0.5),
    "Sum": lambda: scalarization.Sum(),
    "UW": lambda: scalarization.UW(3),
}

AGGREGATORS: dict[str, Callable[[], Any]] = {
    "AlignedMTL": lambda: aggregation.AlignedMTL(),
    "CAGrad": lambda: aggregation.CAGrad(c=0.4),
    "CRMOGM": lambda: aggregation.GramianWeightedAggregator(
        aggregation.CRMOGMWeighting(aggregation.MGDAWeighting())
    ),
    "ConFIG": lambda: aggregation.ConFIG(),
    "Constant": lambda: aggregation.Constant(PREFERENCE),
    "DualProj": lambda: aggregation.DualProj(),
    "ExcessMTL": lambda: aggregation.ExcessMTL(),
    "FairGrad": lambda: aggregation.FairGrad(1.0),
    "GradVac": lambda: aggregation.GradVac(),
    "IMTLG": lambda: aggregation.IMTLG(),
    "Krum": lambda: aggregation.Krum(0),
    "MGDA": lambda: aggregation.MGDA(),
    "Mean": lambda: aggregation.Mean(),
    "NashMTL": lambda: aggregation.NashMTL(3, update_weights_every=2),
    "PCD": lambda: aggregation.PCD(),
    "PCGrad": lambda: aggregation.PCGrad(),
    "Random": lambda: aggregation.Random(),
    "Sum": lambda: aggregation.Sum(),
    "UPGrad": lambda: aggregation.UPGrad(),
    # Their papers give them gradients of two batches.
    "MoDo": lambda: aggregation.GramianWeightedAggregator(aggregation.MoDoWeighting()),
    "SDMGrad": lambda: aggregation.GramianWeightedAggregator(aggregation.SDMGradWeighting(lr=0.1)),
}
METHODS = [*SCALARIZERS, *(f"{name} aggregator" for name in AGGREGATORS)]
BASES = {"Aggregator", "GramianWeightedAggregator", "WeightedAggregator", "Weighting"}
WITHOUT_WEIGHTS = {"GradDrop", "TrimmedMean"}


def make(methods: dict[str, Callable[[], Any]], name: str) -> Any:
    """The method, or a skip where a solver that it needs is missing."""
    try:
        return methods[name]()
    except ImportError as error:
        pytest.skip(str(error))


def made(name: str) -> Any:
    """The method of a name in METHODS."""
    kind, _, is_aggregator = name.partition(" ")
    return make(AGGREGATORS if is_aggregator else SCALARIZERS, kind)


class Net(nn.Module):
    """A shared layer and three heads, whose losses pull in different directions."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.shared = nn.Linear(4, 5)
        self.heads = [nn.Linear(5, 1) for _ in NAMES]
        self.all_heads = nn.ModuleList(self.heads)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))

    def forward(
        self, step: int, dtype: torch.dtype = torch.float32, *, reentrant: bool | None = None
    ) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(100 + step)
        hidden = torch.randn(8, 4, generator=generator).to(dtype).requires_grad_()
        if reentrant is None:
            hidden = self.shared(hidden).tanh()
        else:
            hidden = checkpoint(self.shared, hidden, use_reentrant=reentrant).tanh()
        targets = torch.randn(3, 8, 1, generator=generator).to(dtype)
        return {
            name: (head(hidden) - size * target).square().mean()
            for name, head, target, size in zip(NAMES, self.heads, targets, (1, 3, -2), strict=True)
        }


class Run:
    """A network in training under a method."""

    def __init__(self, method: Any, **options: Any) -> None:
        self.net = Net()
        self.method = method
        is_aggregator = isinstance(method, aggregation.Aggregator)
        weighting = TorchJDWeighting(method, self.net.parameters() if is_aggregator else None)
        self.memory = MemoryLogger()
        self.weighting = weighting
        self.group = LossGroup(NAMES, self.memory, weighting=weighting, **options)
        groups = [{"params": self.net.parameters()}, self.group.parameter_group()]
        self.optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9)

    def step(self, number: int, **replaced: Any) -> None:
        self.optimizer.zero_grad()
        self.group.update({**self.net(number), **replaced})
        self.optimizer.step()
        if isinstance(self.method, scalarization.FAMO):
            self.weighting.update(self.net(number))
        if isinstance(self.method, scalarization.DWA) and number % 2:
            self.method.step()

    def state(self) -> dict[str, Any]:
        return {
            "net": self.net.state_dict(),
            "group": self.group.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.group.load_state_dict(state["group"])
        self.optimizer.load_state_dict(state["optimizer"])


def saved_and_loaded(state: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def stacked(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(losses.values()))


def history(*names: str, losses: dict[str, float] | None = None) -> History:
    statistics = [Statistics() for _ in names]
    for name, one in zip(names, statistics, strict=True):
        if losses:
            one.add(losses[name])
    return History(names, [one.record for one in statistics])


def weighed(weighting: TorchJDWeighting, losses: Tensor, known: History) -> Tensor:
    """The weights."""
    return torch.as_tensor(weighting.weigh(losses, known).weights)
