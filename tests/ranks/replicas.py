"""Learned weights in DDP: `replicas.py SCENARIO FOLDER` on each rank."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from multi_loss_weighting import AutomaticWeightedLoss, LossGroup, UncertaintyWeighting

OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "find unused": {"find_unused_parameters": True},
    "find unused, views": {"find_unused_parameters": True, "gradient_as_bucket_view": True},
    "static graph": {"static_graph": True},
}
METHODS = {"automatic": AutomaticWeightedLoss, "uncertainty": UncertaintyWeighting}
PLACES = ("inside", "outside", "alone")


class Model(nn.Module):
    """Two losses of a network, and what weighs them: in forward, or left to the caller."""

    def __init__(self, method: str, place: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Linear(3, 2).double()
        self.weighting = METHODS[method](2).double()
        self.group = LossGroup(["a", "b"], weighting=self.weighting)
        self.place = place

    def forward(self, x: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        losses = losses_of(self.network, x)
        if self.place == "alone":
            return losses, self.weighting(*losses.values())
        return losses, self.group.weigh(losses) if self.place == "inside" else None


def losses_of(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    y = network(x)
    return {"a": y[:, 0].square().mean(), "b": (y[:, 1] - 3).abs().mean()}


def batch(step: int, rank: int) -> Tensor:
    generator = torch.Generator().manual_seed(100 * step + rank)
    return torch.randn(4, 3, generator=generator, dtype=torch.float64) + rank


def train(rank: int, method: str, place: str, options: dict[str, Any]) -> list[str]:
    """Every other step only accumulates, where DDP knows how to."""
    model = Model(method, place)
    replica = DistributedDataParallel(model, **options)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for step in range(6):
        accumulates = step % 2 == 0 and "static_graph" not in options
        with replica.no_sync() if accumulates else nullcontext():
            losses, total = replica(batch(step, rank))
            (model.group.weigh(losses) if total is None else total).backward()
        if place != "alone" and not accumulates:
            model.group.record(losses)
        if not accumulates:
            optimizer.step()
            optimizer.zero_grad()
    return numbers(model)


def train_on_all(method: str, accumulate: int) -> list[str]:
    """The same in one process, by the mean over the ranks."""
    model = Model(method, "alone")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for step in range(6):
        for rank in range(2):
            (model(batch(step, rank))[1] / 2).backward()
        if step % accumulate == accumulate - 1:
            optimizer.step()
            optimizer.zero_grad()
    return numbers(model)


def numbers(model: nn.Module) -> list[str]:
    return [value.hex() for one in model.parameters() for value in one.flatten().tolist()]


def everything(rank: int) -> dict[str, Any]:
    return {
        f"{method}, {place}, {kind}": {
            "got": train(rank, method, place, OPTIONS[kind]),
            "expected": train_on_all(method, 1 if kind == "static graph" else 2),
        }
        for method, place, kind in product(METHODS, PLACES, OPTIONS)
    }


def main() -> None:
    scenario, folder = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    (folder / f"{scenario}-{rank}.json").write_text(json.dumps(everything(rank)))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
