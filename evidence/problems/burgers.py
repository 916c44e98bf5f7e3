"""Burgers' equation with a front that steepens.

The problem of Raissi et al. (arXiv:1711.10561), but ten times as viscous, so that a short run
resolves the front.

The truth is the solution by Cole and Hopf: two integrals, by Gauss-Hermite quadrature.
"""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING

import numpy as np
import torch

from ._pinn import Field, Solver, along, grid, inside, mean_square
from ._problem import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

BOX = ((-1.0, 1.0), (0.0, 1.0))  # x, then t
START = [((-1.0, 0.0), (1.0, 0.0))]
ENDS = [((-1.0, 0.0), (-1.0, 1.0)), ((1.0, 0.0), (1.0, 1.0))]
VISCOSITY = 0.1 / pi
WIDTHS = (2, 32, 32, 32, 1)
BATCH, EDGE_BATCH = 128, 64


class Burgers(Solver):
    """u_t + u u_x = viscosity u_xx, which starts as -sin(pi x) and is 0 at both ends."""

    def __init__(self, seeds: Sequence[int]) -> None:
        super().__init__(Field(seeds, WIDTHS, BOX), grid(BOX, 50), cole_hopf)
        self._inside = inside(seeds, BOX, BATCH)
        self._ends = along(seeds, "ends", ENDS, EDGE_BATCH)
        self._start = along(seeds, "start", START, EDGE_BATCH)

    def losses(self, step: int) -> Mapping[str, Tensor]:
        """Of the equation; of u at both ends; of u at the start."""
        u, u_x, u_t, u_xx = self.field.derivatives(self._inside.at(step), (0, 1), 1)
        start = self._start.at(step)
        edge = torch.cat([self._ends.at(step), start], dim=1)
        of_ends, of_start = torch.chunk(self.field(edge), 2, dim=1)
        return {
            "residual": mean_square(u_t + u * u_x - VISCOSITY * u_xx),
            "boundary": mean_square(of_ends),
            "initial": mean_square(of_start + (pi * start[..., 0]).sin()),
        }


def cole_hopf(points: Tensor) -> Tensor:
    """The solution at points of shape `(points, 2)`."""
    x, t = points.double().numpy()[:, :, None].swapaxes(0, 1)
    nodes, weights = np.polynomial.hermite.hermgauss(100)
    origin = x - nodes * np.sqrt(4 * VISCOSITY * t)
    # Cole and Hopf's exponential, times a constant that keeps it from overflowing.
    share = weights * np.exp((-np.cos(pi * origin) - 1) / (2 * pi * VISCOSITY))
    values = -(share * np.sin(pi * origin)).sum(axis=1) / share.sum(axis=1)
    return torch.as_tensor(values)


PROBLEMS = (
    Problem(
        name="burgers",
        title="Burgers' equation",
        family="should not matter",
        losses=("residual", "boundary", "initial"),
        metric="relative L2 error",
        measures="the distance to the exact solution, which no loss knows inside, at most 1",
        make=Burgers,
        steps=1000,
        full_steps=20_000,
        rates=(3e-3, 1e-2, 3e-2),
        constants={"boundary": (1.0, 10.0), "initial": (1.0, 10.0, 100.0)},
    ),
)
