"""Laplace's equation on an L, whose solution has a singular slope at the inner corner.

The solution r^(2/3) sin(2/3 angle) is exact; it is given at the edge.
"""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING

import torch

from ._pinn import Field, Solver, along, grid, mean_square, polygon
from ._problem import Problem
from ._stack import Stream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Generator, Tensor

BOX = ((-1.0, 1.0), (-1.0, 1.0))
WIDTHS = (2, 32, 32, 32, 1)
BATCH, EDGE_BATCH = 128, 64
EDGES = polygon(
    (0.0, 0.0),
    (1.0, 0.0),
    (1.0, 1.0),
    (0.0, 1.0),
    (-1.0, 1.0),
    (-1.0, 0.0),
    (-1.0, -1.0),
    (0.0, -1.0),
)


class PoissonL(Solver):
    """u_xx + u_yy = 0 in three of the four unit squares around 0."""

    def __init__(self, seeds: Sequence[int]) -> None:
        points = grid(BOX, 50)
        within = (points[:, 0] < 0) | (points[:, 1] > 0)
        super().__init__(Field(seeds, WIDTHS, BOX), points[within], singular)
        self._inside = Stream(seeds, "inside", draw_in_l)
        self._edge = along(seeds, "edge", EDGES, EDGE_BATCH)

    def losses(self, step: int) -> Mapping[str, Tensor]:
        """Of the equation; of u at the edge."""
        *_, u_xx, u_yy = self.field.derivatives(self._inside.at(step), (0, 1), 2)
        edge = self._edge.at(step)
        return {
            "residual": mean_square(u_xx + u_yy),
            "boundary": mean_square(self.field(edge) - singular(edge)),
        }


def draw_in_l(steps: int, random: Generator) -> Tensor:
    """Uniform points in the L: in a unit square, which is then moved to one of three places."""
    corners = torch.tensor([[-1.0, -1.0], [-1.0, 0.0], [0.0, 0.0]])
    place = torch.randint(3, (steps, BATCH), generator=random)
    return corners[place] + torch.rand(steps, BATCH, 2, generator=random)


def singular(points: Tensor) -> Tensor:
    """The solution: 0 at both sides of the inner corner."""
    x, y = points.unbind(dim=-1)
    angle = torch.atan2(y, x).remainder(2 * pi)
    return torch.hypot(x, y) ** (2 / 3) * (2 / 3 * angle).sin()


PROBLEMS = (
    Problem(
        name="poisson_l",
        title="Laplace's equation on an L",
        family="should matter",
        losses=("residual", "boundary"),
        metric="relative L2 error",
        measures="the distance to the exact solution, which no loss knows inside, at most 1",
        make=PoissonL,
        steps=1200,
        full_steps=20_000,
        rates=(3e-3, 1e-2, 3e-2),
        constants={"boundary": (1.0, 10.0, 100.0, 1000.0)},
    ),
)
