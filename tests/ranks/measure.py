"""Weightings with a memory on several ranks: `measure.py SCENARIO FOLDER`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from multi_loss_weighting import (
    GradientShareWeighting,
    GradNorm,
    LossGroup,
    NormalizedWeighting,
    ReLoBRaLo,
    SoftAdapt,
    TargetWeighting,
)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.heads = nn.Linear(3, 4), nn.Linear(4, 3)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.linspace(-1, 1, parameter.numel()).reshape(parameter.shape))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        one, two, three = self.heads(self.trunk(x).tanh()).unbind(1)
        return {
            "a": one.square().mean(),
            "b": (100 * two - 3).square().mean(),
            "late": (three + 1).square().mean(),
        }


def inputs(step: int, rank: int) -> Tensor:
    generator = torch.Generator().manual_seed(100 * step + rank)
    return torch.randn(8, 3, generator=generator)


def norms(losses: dict[str, Tensor], parameters: list[Tensor]) -> dict[str, float]:
    found = {}
    for name, loss in losses.items():
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        flat = [one.flatten() for one in gradients if one is not None]
        found[name] = torch.cat(flat).double().norm().item()
    return found


def train(
    rank: int, make: Any, log_every: int | None, odd: bool = False, masked: bool = False
) -> dict[str, Any]:
    """What each rank measured, and the weights that it had.

    Odd ranks lack a loss now and then; where it is masked, no batch of rank 1 has a sample.
    """
    net = Net()
    weighting = make(list(net.parameters()))
    group = LossGroup(None if odd else ["a", "b", "late"], weighting=weighting, log_every=log_every)
    replica = DistributedDataParallel(net, find_unused_parameters=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4)
    measured, weights = [], []
    for step in range(10):
        optimizer.zero_grad()
        losses = replica(inputs(step, rank))
        if odd and (step < 4 or (rank == 1 and step % 3 == 2)):
            del losses["late"]
        measured.append(norms(losses, list(net.parameters())))
        group.weigh(losses).backward()  # type: ignore[no-untyped-call]
        group.record(losses, samples=0 if masked and rank == 1 else 1)
        optimizer.step()
        weights.append({name: value.hex() for name, value in group.next_weights().items()})
    return {"measured": measured, "weights": weights}


def share(place: list[Tensor]) -> GradientShareWeighting:
    return GradientShareWeighting(
        place, every=2, smoothing=0.5, reference="a", max_weight=1e9, max_change=1e9
    )


MAKE = {
    "share": share,
    "gradnorm": lambda place: GradNorm(place),
    "normalized share": lambda place: NormalizedWeighting(share(place)),
    "relobralo": lambda _: ReLoBRaLo(alpha=0.5, temperature=1.0, rho=0.5),
    "softadapt": lambda _: SoftAdapt(every=2, beta=1.0),
    "target": lambda _: TargetWeighting(b=3.0),
}


def main() -> None:
    scenario, folder = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    result = {
        f"{name}{' later' if log_every else ''}{' odd' if odd else ''}": train(
            rank, make, log_every, odd
        )
        for name, make in MAKE.items()
        for log_every in (None, 2)
        for odd in (False, True)
    }
    for later, log_every in (("", None), (" later", 2)):
        result[f"masked{later}"] = train(rank, share, log_every, masked=True)
    (folder / f"{scenario}-{rank}.json").write_text(json.dumps(result))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
