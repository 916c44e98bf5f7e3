"""How well a bar conducts heat, place by place, from noisy temperatures.

It was added to test the predictor: nobody had tried weights here before, and sizes, steps and rates
are those of the other equations. The bounds made no claim about it, and the advice was wrong.
"""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING

import torch

from ._pinn import Field, along, inside, mean_square, relative_error
from ._problem import Problem
from ._stack import stacked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Generator, Tensor

BOX = ((0.0, 1.0), (0.0, 1.0))  # x, then t
ENDS = [((0.0, 0.0), (0.0, 1.0)), ((1.0, 0.0), (1.0, 1.0))]
BATCH, EDGE_BATCH, SENSORS = 128, 64, 128
NOISE = 0.01
TEST_POINTS = 100


class InverseHeat:
    """u_t = (k u_x)_x + f: find k(x), and u(x, t), from noisy values of u."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._heat = Field(seeds, (2, 32, 32, 32, 1), BOX)
        self._conductivity = Field(seeds, (1, 32, 32, 1), BOX[:1], name="k")
        self.parameters: Sequence[Tensor] = [
            *self._heat.network.parameters,
            *self._conductivity.network.parameters,
        ]
        self.shared: Sequence[Tensor] = self._heat.network.weights
        self._inside = inside(seeds, BOX, BATCH)
        self._ends = along(seeds, "ends", ENDS, EDGE_BATCH)
        self._sensors = stacked(seeds, "sensors", _places)
        self._measured = temperature(self._sensors) + NOISE * stacked(seeds, "noise", _noise)
        self._test = torch.linspace(0, 1, TEST_POINTS)[:, None]
        self._truth = conductivity(self._test[:, 0])

    def losses(self, step: int) -> Mapping[str, Tensor]:
        """Of the measurements; of the equation; of u at both ends."""
        points = self._inside.at(step)
        _, u_x, u_t, u_xx = self._heat.derivatives(points, (0, 1), 1)
        k, k_x = self._conductivity.derivatives(points[..., :1], (0,), 0)
        fixed = torch.cat([self._sensors, self._ends.at(step)], dim=1)
        at_sensors, at_ends = torch.split(self._heat(fixed), [SENSORS, EDGE_BATCH], dim=1)
        return {
            "data": mean_square(at_sensors - self._measured),
            "residual": mean_square(u_t - k * u_xx - k_x * u_x - source(points)),
            "boundary": mean_square(at_ends),
        }

    @torch.no_grad()
    def metric(self) -> Tensor:
        """The relative L2 error of k, at most 1: no loss is 0 for a wrong k."""
        return relative_error(self._found(), self._truth)

    @torch.no_grad()
    def collapsed(self) -> Tensor:
        """Whether k hardly differs from place to place."""
        return self._found().std(dim=1) < 0.1 * self._truth.std()

    def _found(self) -> Tensor:
        return self._conductivity(self._test.expand(len(self.parameters[0]), -1, -1))


def conductivity(x: Tensor) -> Tensor:
    """The true k."""
    return 1 + 0.5 * (2 * pi * x).sin()


def temperature(points: Tensor) -> Tensor:
    """The true u: it cools, and is 0 at both ends."""
    x, t = points.unbind(dim=-1)
    return (-t).exp() * (pi * x).sin()


def source(points: Tensor) -> Tensor:
    """The heat that is added, f: what the true u and k leave of the equation without it."""
    x, t = points.unbind(dim=-1)
    u_x = pi * (-t).exp() * (pi * x).cos()
    k_x = pi * (2 * pi * x).cos()
    u = temperature(points)
    return conductivity(x) * pi**2 * u - k_x * u_x - u


def _places(random: Generator) -> Tensor:
    return torch.rand(SENSORS, 2, generator=random)


def _noise(random: Generator) -> Tensor:
    return torch.randn(SENSORS, generator=random)


PROBLEMS = (
    Problem(
        name="inverse_heat",
        title="Heat equation, unknown conductivity",
        family="might matter",
        losses=("data", "residual", "boundary"),
        metric="relative L2 error of the conductivity",
        measures="the distance to the true conductivity, which no loss knows, at most 1",
        make=InverseHeat,
        steps=1000,
        full_steps=20_000,
        rates=(3e-3, 1e-2, 3e-2),
        constants={"data": (1.0, 10.0, 100.0)},
    ),
)
