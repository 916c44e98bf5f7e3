"""Small networks with several losses, for weightings that measure gradients."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn


class TwoHeads(nn.Module):
    """A trunk and a loss for each head, the second in units a thousand times as large."""

    def __init__(self, seed: int = 0, scale: float = 1000.0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.trunk = nn.Linear(4, 8)
            self.heads = nn.ModuleList([nn.Linear(8, 1), nn.Linear(8, 1)])
        self.scale = scale
        self.hidden = torch.zeros(())

    def forward(self, step: int, shift: float = 0.0) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(16, 4, generator=generator) + shift
        self.hidden = self.trunk(x).tanh()
        small, large = (head(self.hidden) for head in self.heads)
        return {
            "small": (small - x[:, :1].sin()).square().mean(),
            "large": (self.scale * (large - x[:, 1:2].cos())).square().mean(),
        }


class Trivial(nn.Module):
    """The Helmholtz problem in one dimension, u'' + u = f with u = 0 on the boundary.

    The network that gives 0 meets the boundary wholly, so the gradient of that loss vanishes there
    while that of the residual stays large: what makes weights run away.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.net = nn.Sequential(
                *(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 1))
            )

    def forward(self, step: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(step)
        x = (2 * torch.rand(32, 1, generator=generator) - 1).requires_grad_()
        u = self.net(x)
        (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        (bend,) = torch.autograd.grad(slope.sum(), x, create_graph=True)
        right: Any = (1 - (4 * math.pi) ** 2) * torch.sin(4 * math.pi * x)
        edge = self.net(torch.tensor([[-1.0], [1.0]]))
        return {"residual": (bend + u - right).square().mean(), "boundary": edge.square().mean()}


def norms(losses: dict[str, Tensor], place: Any) -> dict[str, float]:
    """The norms of the gradients, by torch alone."""
    place = [place] if isinstance(place, Tensor) else list(place)
    found = {}
    for name, loss in losses.items():
        gradients = torch.autograd.grad(loss, place, retain_graph=True, allow_unused=True)
        flat = [one.flatten() for one in gradients if one is not None]
        found[name] = torch.cat(flat).double().norm().item() if flat else 0.0
    return found
