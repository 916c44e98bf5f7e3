"""The problem `pinn`: a physics-informed network for Poisson's equation on an L."""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Adam

if TYPE_CHECKING:
    from pathlib import Path

    from torch.optim import Optimizer

    from ._problem import Weight

WIDTH = 32
CORNERS = torch.tensor([[-1, -1], [0, -1], [0, 0], [1, 0], [1, 1], [-1, 1], [-1, -1]]).float()
POINTS_INSIDE, POINTS_ON_EDGES = 256, 128
GRID = 100


class Pinn:
    """`equation`: how far the network is from solving it; `boundary`: from 0 at the edge of the L.

    The equation is u_xx + u_yy = -5 pi^2 u*, and u* = sin(pi x) sin(2 pi y) solves it. The gradient
    of the first loss is a hundred times as large as that of the second: their plain sum learns the
    equation and neglects the edge, without which it has any number of solutions.
    """

    static: ClassVar[dict[str, Weight]] = {"equation": 1.0, "boundary": 100.0}
    measured = "a grid in the L"
    picture = ("solution.png", "the solution, what was learned, and the difference")

    def __init__(self) -> None:
        layers = [nn.Linear(2, WIDTH), nn.Tanh()]
        layers += [nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH), nn.Tanh()]
        self.network = nn.Sequential(*layers, nn.Linear(WIDTH, 1))

    def losses(self) -> dict[str, Tensor]:
        """The mean squares of what is left, at random points."""
        inside, edges = random_inside(POINTS_INSIDE), random_on_edges(POINTS_ON_EDGES)
        residual = laplacian(self.network, inside) + 5 * pi**2 * solution(inside)
        return {
            "equation": residual.square().mean(),
            "boundary": self.network(edges).square().mean(),
        }

    def optimizers(self, learned: dict[str, Any]) -> list[Optimizer]:
        """One for all."""
        return [Adam([{"params": [*self.network.parameters()]}, learned], lr=2e-3)]

    def quality(self) -> dict[str, float]:
        """How large the error is beside the solution."""
        points = grid()
        points = points[is_inside(points)]
        true = solution(points)
        return {"relative error": ((self._learned(points) - true).norm() / true.norm()).item()}

    def draw(self, output: Path) -> None:
        """Draw the solution, what was learned, and the difference."""
        from matplotlib.figure import Figure

        points = grid()
        true, learned = solution(points), self._learned(points)
        titles = ("solution", "learned", "difference")
        figure = Figure(figsize=(9, 2.8), layout="constrained")
        for axis, title, values in zip(
            figure.subplots(1, 3), titles, (true, learned, learned - true), strict=True
        ):
            values = torch.where(is_inside(points), values, torch.nan).reshape(GRID, GRID)
            drawn = axis.imshow(values.numpy(), origin="lower", cmap="RdBu", vmin=-1, vmax=1)
            axis.set(title=title, xticks=[], yticks=[])
        figure.colorbar(drawn, ax=figure.axes)
        figure.savefig(output, dpi=150)

    @torch.no_grad()
    def _learned(self, points: Tensor) -> Tensor:
        learned: Tensor = self.network(points)[:, 0]
        return learned


def solution(points: Tensor) -> Tensor:
    """The exact one, which is 0 at every edge.

    >>> float(solution(torch.tensor([[0.5, 0.25]])))
    1.0
    """
    return (pi * points[:, 0]).sin() * (2 * pi * points[:, 1]).sin()


def laplacian(network: nn.Module, points: Tensor) -> Tensor:
    """u_xx + u_yy at each point."""
    points = points.requires_grad_()
    (slopes,) = torch.autograd.grad(network(points).sum(), points, create_graph=True)
    seconds = [
        torch.autograd.grad(slopes[:, axis].sum(), points, create_graph=True)[0][:, axis]
        for axis in (0, 1)
    ]
    return seconds[0] + seconds[1]


def is_inside(points: Tensor) -> Tensor:
    """Whether each point of the square from -1 to 1 is in the L, which lacks a quarter of it."""
    return ~((points[:, 0] > 0) & (points[:, 1] < 0))


def random_inside(count: int) -> Tensor:
    """Points in the L: enough of the square's, less those of the quarter that it lacks."""
    points = 2 * torch.rand(2 * count, 2) - 1
    return points[is_inside(points)][:count]


def random_on_edges(count: int) -> Tensor:
    """Points on the edges of the L, as many on each as it is long."""
    lengths = (CORNERS[1:] - CORNERS[:-1]).norm(dim=1)
    edges = torch.multinomial(lengths, count, replacement=True)
    along = torch.rand(count, 1)
    return CORNERS[edges] * (1 - along) + CORNERS[edges + 1] * along


def grid() -> Tensor:
    """Points in rows over the square."""
    line = torch.linspace(-1, 1, GRID)
    rows, columns = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([columns.flatten(), rows.flatten()], dim=1)
