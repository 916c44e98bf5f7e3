"""Networks that solve a differential equation, and their derivatives carried forward.

The first and second derivatives with respect to each coordinate go through the layers beside the
values: a product for all of them, and tanh's own derivatives. Nested autograd costs three times
as much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.linalg import vector_norm
from torch.nn.functional import pad

from ._stack import Network, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Generator, Tensor


class Field:
    """A network of some coordinates, one for each seed.

    >>> field = Field([0, 1], (2, 16, 1), box=((0, 1), (0, 1)))
    >>> u, u_x, u_y, u_xx, u_yy = field.derivatives(torch.rand(2, 50, 2), (0, 1), seconds=2)
    >>> u_yy.shape
    torch.Size([2, 50])
    """

    def __init__(
        self,
        seeds: Sequence[int],
        widths: Sequence[int],
        box: Sequence[tuple[float, float]],
        name: str = "u",
    ) -> None:
        self.network = Network(seeds, name, widths, torch.tanh)
        low, high = torch.tensor(box).T
        self._centre: Tensor = (low + high) / 2
        self._scale: Tensor = (high - low) / 12**0.5

    def __call__(self, points: Tensor) -> Tensor:
        """The values at points of shape `(seeds, points, coordinates)`."""
        return self.network(self._standard(points)).squeeze(2)

    def derivatives(
        self, points: Tensor, coordinates: Sequence[int], seconds: int
    ) -> tuple[Tensor, ...]:
        """The value, first derivatives in all these coordinates, second ones in the first few."""
        *hidden, last = zip(self.network.weights, self.network.biases, strict=True)
        carried = self._start(points, coordinates, seconds)
        for weight, bias in hidden:
            carried = _through_tanh(_product(carried, weight, bias), len(coordinates))
        parts: tuple[Tensor, ...] = _product(carried, *last).squeeze(3).unbind(dim=1)
        return parts

    def _standard(self, points: Tensor) -> Tensor:
        """Coordinates of mean 0 and variance 1, as in arXiv:2001.04536."""
        return (points - self._centre) / self._scale

    def _start(self, points: Tensor, coordinates: Sequence[int], seconds: int) -> Tensor:
        """The network's inputs, and their derivatives in the coordinates: constants, then 0."""
        slopes = torch.diag(1 / self._scale)[list(coordinates)]
        constants = torch.cat([slopes, torch.zeros(seconds, len(slopes.T))])
        seeds, count = points.shape[:2]
        repeated = constants[None, :, None].expand(seeds, -1, count, -1)
        return torch.cat([self._standard(points)[:, None], repeated], dim=1)


def _product(carried: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """One product for the values and all derivatives; the bias is the values' alone."""
    seeds, parts, points, _ = carried.shape
    product = carried.flatten(1, 2).bmm(weight).view(seeds, parts, points, -1)
    return product + pad(bias[:, None], (0, 0, 0, 0, 0, parts - 1))


def _through_tanh(carried: Tensor, firsts: int) -> Tensor:
    """The chain rule, once and twice."""
    # Parts by `split`: the gradient of a slice would fill a tensor with zeros each time.
    seconds = carried.shape[1] - 1 - firsts
    value, first, second = torch.split(carried, [1, firsts, seconds], dim=1)
    bent, _ = torch.split(first, [seconds, firsts - seconds], dim=1)
    value = torch.tanh(value)
    slope = 1 - value.square()
    bend = second - 2 * value * bent.square()
    return torch.cat([value, slope * first, slope * bend], dim=1)


def mean_square(values: Tensor) -> Tensor:
    """The mean over the points, for each seed."""
    return values.square().mean(dim=1)


class Solver:
    """What all tasks of this kind share: one field, compared with the true one at some points."""

    def __init__(self, field: Field, points: Tensor, solution: Callable[[Tensor], Tensor]) -> None:
        self.field = field
        self.parameters: Sequence[Tensor] = field.network.parameters
        # All layers, as in arXiv:2001.04536: the whole network is shared, and it is small.
        self.shared: Sequence[Tensor] = field.network.weights
        self._points = points
        self._truth = solution(points).float()

    @torch.no_grad()
    def metric(self) -> Tensor:
        """The relative L2 error, at most 1: a field that is 0 everywhere has 1."""
        return relative_error(self._values(), self._truth)

    @torch.no_grad()
    def collapsed(self) -> Tensor:
        """Whether the field is near 0 everywhere."""
        vanished: Tensor = vector_norm(self._values(), dim=1) < 0.1 * vector_norm(self._truth)
        return vanished

    def _values(self) -> Tensor:
        return self.field(self._points.expand(len(self.parameters[0]), -1, -1))


def relative_error(values: Tensor, truth: Tensor) -> Tensor:
    """The L2 norm of the difference over that of the truth, at most 1."""
    error: Tensor = vector_norm(values - truth, dim=1) / vector_norm(truth)
    return error.clamp(max=1)


def grid(box: Sequence[tuple[float, float]], steps: int) -> Tensor:
    """Points in rows and columns, of shape `(points, coordinates)`."""
    axes = [torch.linspace(low, high, steps) for low, high in box]
    return torch.cartesian_prod(*axes)


def inside(seeds: Sequence[int], box: Sequence[tuple[float, float]], count: int) -> Stream:
    """Uniform points in the box, new ones at each step."""
    low, high = torch.tensor(box).T
    return Stream(
        seeds,
        "inside",
        lambda steps, random: (
            low + (high - low) * torch.rand(steps, count, len(box), generator=random)
        ),
    )


Side = tuple[tuple[float, float], tuple[float, float]]


def along(seeds: Sequence[int], name: str, sides: Sequence[Side], count: int) -> Stream:
    """Uniform points on sides of the same length, new ones at each step."""
    start, end = torch.tensor(sides).unbind(dim=1)

    def draw(steps: int, random: Generator) -> Tensor:
        side = torch.randint(len(sides), (steps, count), generator=random)
        share = torch.rand(steps, count, 1, generator=random)
        return torch.lerp(start[side], end[side], share)

    return Stream(seeds, name, draw)


def polygon(*corners: tuple[float, float]) -> list[Side]:
    """The sides between these corners."""
    return list(zip(corners, (*corners[1:], corners[0]), strict=True))
