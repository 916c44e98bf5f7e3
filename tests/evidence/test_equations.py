from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from evidence.problems import annealing_paper, burgers, inverse_heat, poisson_l
from evidence.problems._pinn import Field, Solver
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

SQUARE = ((-1.0, 1.0), (0.0, 1.0))
SOLUTIONS: dict[type[Solver], Callable[[Tensor], Tensor]] = {
    annealing_paper.KleinGordon: annealing_paper.wave,
    annealing_paper.Helmholtz: annealing_paper.standing_wave,
    poisson_l.PoissonL: poisson_l.singular,
    burgers.Burgers: burgers.cole_hopf,
}
each_equation = pytest.mark.parametrize("solver", SOLUTIONS, ids=lambda solver: solver.__name__)


def slope(values: Tensor, points: Tensor) -> Tensor:
    return torch.autograd.grad(values.sum(), points, create_graph=True)[0]


def by_autograd(function: Callable[[Tensor], Tensor], points: Tensor) -> tuple[Tensor, ...]:
    """The value, both first and both second derivatives."""
    points = points.requires_grad_()
    value = function(points)
    first = slope(value, points).unbind(dim=-1)
    second = [slope(one, points)[..., number] for number, one in enumerate(first)]
    return value, *first, *second


def inner_points(seeds: int = 1) -> Tensor:
    random = torch.Generator().manual_seed(0)
    return 0.1 + 0.8 * torch.rand(seeds, 200, 2, generator=random).double()


def test_derivatives_that_are_carried_forward_are_those_of_autograd() -> None:
    field = Field([0, 1], (2, 16, 16, 1), SQUARE)
    points = inner_points(2).float()

    carried = field.derivatives(points, (0, 1), 2)

    torch.testing.assert_close(carried, by_autograd(field, points), rtol=1e-4, atol=1e-4)


def test_fewer_derivatives_are_the_same_ones() -> None:
    field = Field([0, 1], (2, 16, 16, 1), SQUARE)
    points = inner_points(2).float()
    u, u_x, u_t, u_xx, _ = field.derivatives(points, (0, 1), 2)

    torch.testing.assert_close(field.derivatives(points, (0, 1), 1), (u, u_x, u_t, u_xx))
    torch.testing.assert_close(field.derivatives(points, (1,), 0), (u, u_t))


def test_the_wave_solves_klein_gordon() -> None:
    points = inner_points()
    start = points * torch.tensor([1.0, 0.0])

    residual = annealing_paper.wave_residual(points, *by_autograd(annealing_paper.wave, points))

    assert residual.abs().max() < 1e-9
    assert by_autograd(annealing_paper.wave, start)[2].abs().max() < 1e-9


def test_the_standing_wave_solves_helmholtz() -> None:
    points = inner_points()

    derivatives = by_autograd(annealing_paper.standing_wave, points)

    assert annealing_paper.standing_wave_residual(points, *derivatives).abs().max() < 1e-9


def test_the_singular_solution_is_harmonic_and_0_at_the_inner_corner() -> None:
    *_, u_xx, u_yy = by_autograd(poisson_l.singular, inner_points())
    inner_sides = torch.tensor([[0.0, 0.0], [0.7, 0.0], [0.0, -0.3]])

    assert (u_xx + u_yy).abs().max() < 1e-9
    assert poisson_l.singular(inner_sides).abs().max() < 1e-6


def test_points_in_the_l_leave_out_a_quarter() -> None:
    x, y = poisson_l.draw_in_l(50, torch.Generator().manual_seed(0)).flatten(0, 1).T

    assert not ((x > 0) & (y < 0)).any()
    for quarter in ((x > 0) & (y > 0), (x < 0) & (y > 0), (x < 0) & (y < 0)):
        assert abs(quarter.float().mean() - 1 / 3) < 0.02


def test_cole_and_hopfs_solution_solves_burgers() -> None:
    points, step = inner_points()[0], 1e-4
    along_x, along_t = torch.tensor([step, 0.0]), torch.tensor([0.0, step])

    u = burgers.cole_hopf(points)
    right, left = burgers.cole_hopf(points + along_x), burgers.cole_hopf(points - along_x)
    later, earlier = burgers.cole_hopf(points + along_t), burgers.cole_hopf(points - along_t)
    u_x, u_t = (right - left) / (2 * step), (later - earlier) / (2 * step)
    u_xx = (right - 2 * u + left) / step**2

    assert (u_t + u * u_x - burgers.VISCOSITY * u_xx).abs().max() < 1e-4


def test_cole_and_hopfs_solution_starts_as_a_sine() -> None:
    x = torch.linspace(-1, 1, 21)

    start = burgers.cole_hopf(torch.stack([x, torch.zeros(21)], dim=1))

    np.testing.assert_allclose(start, -np.sin(np.pi * x.double().numpy()), atol=1e-6)


def test_the_true_conductivity_leaves_nothing_of_the_heat_equation() -> None:
    points = inner_points()
    _, u_x, u_t, u_xx, _ = by_autograd(inverse_heat.temperature, points)
    k = inverse_heat.conductivity(points[..., 0])
    k_x = slope(k, points)[..., 0]

    residual = u_t - k * u_xx - k_x * u_x - inverse_heat.source(points)

    assert residual.abs().max() < 1e-9


@each_equation
def test_the_solution_has_no_error_and_nothing_has_all_of_it(solver: type[Solver]) -> None:
    task = solver([0, 1])  # type: ignore[call-arg, arg-type]

    task.field = lambda points: SOLUTIONS[solver](points[0]).float().expand(2, -1)  # type: ignore[assignment]
    assert task.metric().max() < 1e-6
    assert not task.collapsed().any()

    task.field = lambda points: torch.zeros(points.shape[:2])  # type: ignore[assignment]
    assert task.metric().tolist() == [1, 1]
    assert task.collapsed().all()
