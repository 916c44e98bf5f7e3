"""Klein-Gordon and Helmholtz, as in Wang, Teng and Perdikaris (arXiv:2001.04536).

Both have exact solutions, so that the metric is the true error. What differs from the paper:
smaller networks and batches, no decay of the learning rate, and fewer steps.
"""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING

import torch

from ._pinn import Field, Solver, along, grid, inside, mean_square, polygon
from ._problem import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

UNIT_SQUARE = ((0.0, 1.0), (0.0, 1.0))
SQUARE = ((-1.0, 1.0), (-1.0, 1.0))
EDGES = polygon((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))
START = [((0.0, 0.0), (1.0, 0.0))]
ENDS = [((0.0, 0.0), (0.0, 1.0)), ((1.0, 0.0), (1.0, 1.0))]
WIDTHS = (2, 32, 32, 32, 1)
BATCH, EDGE_BATCH = 128, 64
TEST_GRID = 50
WAVES = (1, 4)
"""How often Helmholtz's solution goes up and down along x and y."""


class KleinGordon(Solver):
    """A wave with a cubic term: u_tt - u_xx + u^3 = f for x and t from 0 to 1."""

    def __init__(self, seeds: Sequence[int]) -> None:
        field = Field(seeds, WIDTHS, UNIT_SQUARE)
        super().__init__(field, grid(UNIT_SQUARE, TEST_GRID), wave)
        self._inside = inside(seeds, UNIT_SQUARE, BATCH)
        self._ends = along(seeds, "ends", ENDS, EDGE_BATCH)
        self._start = along(seeds, "start", START, EDGE_BATCH)

    def losses(self, step: int) -> Mapping[str, Tensor]:
        """Of the equation; of u at both ends; of u and its speed at the start."""
        points, ends, start = (part.at(step) for part in (self._inside, self._ends, self._start))
        residual = wave_residual(points, *self.field.derivatives(points, (0, 1), 2))
        edge = torch.cat([ends, start], dim=1)
        u, speed = self.field.derivatives(edge, (1,), 0)
        of_ends, of_start = torch.chunk(u - wave(edge), 2, dim=1)
        return {
            "residual": mean_square(residual),
            "boundary": mean_square(of_ends),
            "initial": mean_square(of_start) + mean_square(torch.chunk(speed, 2, dim=1)[1]),
        }


def wave(points: Tensor) -> Tensor:
    """The solution of the Klein-Gordon problem, which starts at rest."""
    x, t = points.unbind(dim=-1)
    return x * (5 * pi * t).cos() + (x * t) ** 3


def wave_residual(
    points: Tensor, u: Tensor, _u_x: Tensor, _u_t: Tensor, u_xx: Tensor, u_tt: Tensor
) -> Tensor:
    """What is left of the equation: 0 for its solution."""
    x, t = points.unbind(dim=-1)
    true_tt = 6 * x**3 * t - 25 * pi**2 * x * (5 * pi * t).cos()
    true_xx = 6 * x * t**3
    return (u_tt - true_tt) - (u_xx - true_xx) + u**3 - wave(points) ** 3


class Helmholtz(Solver):
    """A standing wave: u_xx + u_yy + u = q for x and y from -1 to 1, and 0 at the edge."""

    def __init__(self, seeds: Sequence[int], widths: Sequence[int] = WIDTHS) -> None:
        field = Field(seeds, widths, SQUARE)
        super().__init__(field, grid(SQUARE, TEST_GRID), standing_wave)
        self._inside = inside(seeds, SQUARE, BATCH)
        self._edge = along(seeds, "edge", EDGES, EDGE_BATCH)

    def losses(self, step: int) -> Mapping[str, Tensor]:
        """Of the equation; of u at the edge."""
        points = self._inside.at(step)
        residual = standing_wave_residual(points, *self.field.derivatives(points, (0, 1), 2))
        edge = self.field(self._edge.at(step))
        return {"residual": mean_square(residual), "boundary": mean_square(edge)}


def standing_wave(points: Tensor) -> Tensor:
    """The solution of the Helmholtz problem."""
    along_x, along_y = WAVES
    x, y = points.unbind(dim=-1)
    return (along_x * pi * x).sin() * (along_y * pi * y).sin()


def standing_wave_residual(
    points: Tensor, u: Tensor, _u_x: Tensor, _u_y: Tensor, u_xx: Tensor, u_yy: Tensor
) -> Tensor:
    """What is left of the equation: 0 for its solution."""
    true = standing_wave(points)
    return u_xx + u_yy + u - (1 - sum(waves**2 for waves in WAVES) * pi**2) * true


PROBLEMS = (
    Problem(
        name="klein_gordon",
        title="Klein-Gordon equation",
        family="should matter",
        losses=("residual", "boundary", "initial"),
        metric="relative L2 error",
        measures="the distance to the exact solution, which no loss knows inside, at most 1",
        make=KleinGordon,
        steps=1200,
        full_steps=40_000,
        rates=(3e-3, 1e-2, 3e-2),
        constants={"boundary": (1.0, 100.0), "initial": (1.0, 100.0)},
    ),
    Problem(
        name="helmholtz",
        title="Helmholtz equation",
        family="should matter",
        losses=("residual", "boundary"),
        metric="relative L2 error",
        measures="the distance to the exact solution, which no loss knows inside, at most 1",
        make=Helmholtz,
        steps=4000,
        full_steps=40_000,
        rates=(3e-3, 1e-2, 3e-2),
        constants={"boundary": (1.0, 10.0, 100.0, 1000.0)},
    ),
)
